//! Functions of a user agent. Not features by themselves: what an agent claims, a liar claims too.

use datafusion::arrow::datatypes::{DataType, Int32Type};

use super::class::AgentClass;
use super::classify::classify;
use super::{crawler, family, memo, system};
use crate::doc::FunctionDoc;
use crate::parameter::Parameter;
use crate::scalar::{ScalarFunction, text, unchecked};

pub(crate) static AGENT_CLASS: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "agent_class",
        signature: "agent_class(agent) -> text",
        summary: "'browser', 'crawler' (a bot that names itself), 'library', 'monitor', 'headless', 'feed', 'empty' \
                  ('', '-' and null) or 'other'.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Utf8,
    run: |args| Ok(memo::words(text(args, 0)?, |agent| Some(classify(agent).name()), Some(AgentClass::Empty.name()))),
    check: unchecked,
};

pub(crate) static AGENT_IS_DECLARED_BOT: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "agent_is_declared_bot",
        signature: "agent_is_declared_bot(agent) -> boolean",
        summary: "Whether the agent itself says that it is a program: crawler, library, monitor, headless or feed.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Boolean,
    run: |args| Ok(memo::flags(text(args, 0)?, |agent| classify(agent).is_declared_bot())),
    check: unchecked,
};

pub(crate) static AGENT_FAMILY: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "agent_family",
        signature: "agent_family(agent) -> text",
        summary: "The product that the agent names: 'Chrome', 'Firefox', 'Safari', 'Googlebot', 'curl', …, or 'other'.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Utf8,
    run: |args| Ok(memo::words(text(args, 0)?, |agent| Some(family::family(agent)), None)),
    check: unchecked,
};

pub(crate) static AGENT_VERSION: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "agent_version",
        signature: "agent_version(agent) -> int",
        summary: "Major version of that product; null where it names none.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Int32,
    run: |args| Ok(memo::numbers::<Int32Type>(text(args, 0)?, family::major_version)),
    check: unchecked,
};

pub(crate) static AGENT_OS: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "agent_os",
        signature: "agent_os(agent) -> text",
        summary: "The operating system that the agent names: 'Windows', 'macOS', 'Linux', 'Android', 'iOS', …, or 'other'.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Utf8,
    run: |args| Ok(memo::words(text(args, 0)?, |agent| Some(system::system(agent)), None)),
    check: unchecked,
};

pub(crate) static CRAWLER_CLAIM: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "crawler_claim",
        signature: "crawler_claim(agent) -> text",
        summary: "The known crawler that the agent claims to be ('googlebot', 'bingbot', 'gptbot', …), to be checked \
                  against its published addresses; null where it claims none.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Utf8,
    run: |args| Ok(memo::words(text(args, 0)?, crawler::claim, None)),
    check: unchecked,
};
