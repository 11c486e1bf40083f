//! An S3 server (S3Proxy over a folder), and where its objects lie.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use object_store::ObjectStoreExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;

use crate::process::{OwnFolder, Server, free_port, new_folder};
use crate::{Up, cache, java};

const LIST: &str = include_str!("../lists/s3proxy.txt");
const START: Duration = Duration::from_secs(60);
const IDENTITY: &str = "fyke-test";
const SECRET: &str = "fyke-test-secret";

/// A running server. Its data lives as long as this value, across [`S3::kill`] and [`S3::restart`].
#[derive(Debug)]
pub struct S3 {
    server: Option<Server>,
    folder: OwnFolder,
    port: u16,
}

impl S3 {
    /// A server without buckets.
    ///
    /// # Errors
    /// When it can't be fetched or started; with the end of its log.
    pub fn start() -> Result<Self> {
        let folder = OwnFolder(new_folder("s3")?);
        let port = free_port()?;
        let data = folder.0.join("data");
        std::fs::create_dir_all(&data)?;
        let settings = format!(
            "s3proxy.endpoint=http://127.0.0.1:{port}\ns3proxy.authorization=aws-v2-or-v4\n\
             s3proxy.identity={IDENTITY}\ns3proxy.credential={SECRET}\n\
             s3proxy.ignore-unknown-headers=true\njclouds.provider=filesystem-nio2\njclouds.filesystem.basedir={}\n",
            data.display()
        );
        std::fs::write(folder.0.join("s3.conf"), settings)?;
        // without it every request and every tick of its threads is logged
        let log = "<configuration><appender name=\"A\" class=\"ch.qos.logback.core.ConsoleAppender\"><encoder>\
                   <pattern>%level %msg%n</pattern></encoder></appender>\
                   <root level=\"WARN\"><appender-ref ref=\"A\"/></root></configuration>";
        std::fs::write(folder.0.join("log.xml"), log)?;
        let mut s3 = Self { server: None, folder, port };
        s3.restart()?;
        Ok(s3)
    }

    /// The one server that the tests of this process share.
    ///
    /// # Errors
    /// As [`S3::start`].
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<std::result::Result<S3, String>> = OnceLock::new();
        match SHARED.get_or_init(|| Self::start().map_err(|error| format!("{error:#}"))) {
            Ok(s3) => Ok(s3),
            Err(error) => bail!("{error}"),
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The variables that tell a client of it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", IDENTITY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    /// Makes a bucket; one that is there stays.
    ///
    /// # Errors
    /// When its folder can't be made.
    pub fn create_bucket(&self, name: &str) -> Result<()> {
        Ok(std::fs::create_dir_all(self.path(name, ""))?)
    }

    /// Puts an object, or replaces it.
    ///
    /// # Errors
    /// What the server says.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) -> Result<()> {
        let (client, key) = (self.client(bucket)?, Key::from(key));
        let put = client.put(&key, bytes.to_vec().into());
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(put)?;
        Ok(())
    }

    /// A client of a bucket.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn client(&self, bucket: &str) -> Result<AmazonS3> {
        let builder = AmazonS3Builder::new().with_endpoint(self.endpoint()).with_allow_http(true);
        let builder = builder.with_access_key_id(IDENTITY).with_secret_access_key(SECRET);
        Ok(builder.with_region("us-east-1").with_bucket_name(bucket).build()?)
    }

    /// Where the server keeps an object's bytes: to be read by, for an object is more than they.
    pub fn path(&self, bucket: &str, key: &str) -> PathBuf {
        self.folder.0.join("data").join(bucket).join(key)
    }

    /// Its process, if it runs.
    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// Ends it as a power cut would.
    ///
    /// # Errors
    /// When it can't be ended.
    pub fn kill(&mut self) -> Result<()> {
        match self.server.take() {
            Some(mut server) => server.kill(),
            None => Ok(()),
        }
    }

    /// Starts it anew with its data and port, after ending it where it runs.
    ///
    /// # Errors
    /// As [`S3::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let jars = cache::files("s3proxy-2.9.0", LIST)?;
        let mut command = Command::new(java::home(17)?.join("bin/java"));
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-Dlogback.configurationFile=log.xml", "-cp"]);
        command.arg(jars.join("*")).args(["org.gaul.s3proxy.Main", "--properties", "s3.conf"]);
        let mut server = Server::start("s3", command, &self.folder.0)?;
        let port = self.port;
        server.wait_until_ready(START, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        self.server = Some(server);
        Ok(())
    }

    /// It stands still: connections stay, nothing answers.
    ///
    /// # Errors
    /// When the signal can't be sent.
    pub fn pause(&self) -> Result<()> {
        self.server.as_ref().context("it does not run")?.signal("-STOP")
    }

    /// It goes on.
    ///
    /// # Errors
    /// When the signal can't be sent.
    pub fn resume(&self) -> Result<()> {
        self.server.as_ref().context("it does not run")?.signal("-CONT")
    }
}

/// Starts a server for a developer, with a bucket `fyke`.
///
/// # Errors
/// As [`S3::start`].
pub fn up() -> Result<Up> {
    let s3 = S3::start()?;
    s3.create_bucket("fyke")?;
    let server = s3.server().context("it does not run")?;
    Ok(Up { address: s3.endpoint(), pid: server.pid(), folder: server.folder().to_owned() })
}
