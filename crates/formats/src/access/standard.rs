//! The formats that every server knows, with what people usually add: a virtual host before, a response time behind.

use super::program::{DurationUnit, Field, Program, Step};

/// What stands behind the address and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standard {
    /// Request, status, bytes.
    Common,
    /// The same, with referrer and agent.
    Combined,
}

/// One line format out of the standard ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variant {
    pub standard: Standard,
    /// `host:port ` or `host ` comes first.
    pub vhost: bool,
    /// A response time comes last.
    pub duration: bool,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// No other variant fits its lines.
    Exact,
    /// There is no user between address and time.
    Userless,
    /// The user may hold spaces. Such lines could be taken for others: it comes last.
    SpacedUser,
    /// The host may look like an address. It may stand only where no format without host stands.
    AnyHost,
}

impl Variant {
    const fn new(standard: Standard, vhost: bool, duration: bool, shape: Shape) -> Self {
        Self { standard, vhost, duration, shape }
    }

    /// With or without host and duration.
    pub fn any_of(standard: Standard) -> Vec<Self> {
        let mut variants = Vec::new();
        for shape in [Shape::Exact, Shape::Userless] {
            for duration in [false, true] {
                for vhost in [false, true] {
                    variants.push(Self::new(standard, vhost, duration, shape));
                }
            }
        }
        variants.push(Self::new(standard, false, false, Shape::SpacedUser));
        variants
    }

    /// All of both.
    pub fn all() -> Vec<Self> {
        let (mut all, common) = (Self::any_of(Standard::Combined), Self::any_of(Standard::Common));
        let last = all.pop();
        all.extend(common);
        all.extend(last);
        all
    }

    /// Those with a host, whatever it looks like.
    pub fn with_vhost(standard: Standard) -> Vec<Self> {
        let variant = |duration| Self::new(standard, true, duration, Shape::AnyHost);
        vec![variant(false), variant(true)]
    }

    /// What a person calls it.
    pub fn name(self) -> String {
        let standard = match self.standard {
            Standard::Common => "common",
            Standard::Combined => "combined",
        };
        let host = if self.vhost { "vhost_" } else { "" };
        let duration = if self.duration { " with response time" } else { "" };
        format!("{host}{standard}{duration}")
    }

    /// Whether a line is in this format.
    pub fn fits(self, line: &str) -> bool {
        self.program().read(line, DurationUnit::Guess).is_ok()
    }

    pub(super) fn program(&self) -> Program {
        let literal = |text: &str| Step::Literal(text.to_owned());
        let mut steps = Vec::new();
        if self.vhost {
            steps.extend([Step::Field(Field::Host), literal(" ")]);
        }
        steps.extend([Step::Field(Field::Address), literal(" ")]);
        if self.shape == Shape::Userless {
            steps.push(literal("- "));
        } else {
            steps.extend([
                Step::Field(Field::Extra("ident".into())),
                literal(" "),
                Step::Field(Field::User),
                literal(" "),
            ]);
        }
        steps.extend([literal("["), Step::Field(Field::CommonTime), literal("] \"")]);
        steps.extend([Step::Field(Field::RequestLine), literal("\" "), Step::Field(Field::Status)]);
        steps.extend([literal(" "), Step::Field(Field::Bytes)]);
        if self.standard == Standard::Combined {
            steps.extend([literal(" \""), Step::Field(Field::Referrer), literal("\" \"")]);
            steps.extend([Step::Field(Field::Agent), literal("\"")]);
        }
        if self.duration {
            steps.extend([literal(" "), Step::Field(Field::Duration(DurationUnit::Guess))]);
        }
        let mut program = Program::new(steps);
        program.named_host = self.vhost && self.shape != Shape::AnyHost;
        if self.shape == Shape::SpacedUser { program.lenient() } else { program }
    }
}
