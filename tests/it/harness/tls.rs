//! A server behind TLS, with certificates that a test makes: good ones, old ones, those of
//! another host.
//!
//! Every request gets the same answer, and then the connection is closed. It notes what the
//! clients offered to speak, and whether they sent anything at all.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;

/// Who the server is: a certificate, and the key to it.
pub(crate) struct Identity {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
    /// Its issuer, unless it is self-signed.
    authority: Option<rcgen::Certificate>,
    /// What stands between it and its authority.
    between: Option<rcgen::Certificate>,
}

/// The server; gone when dropped.
pub(crate) struct TlsServer {
    port: u16,
    state: Arc<Mutex<State>>,
    _task: JoinSet<()>,
}

struct State {
    config: Arc<ServerConfig>,
    answer: Vec<u8>,
    is_broken: bool,
    offers: Vec<Vec<String>>,
    requests: usize,
}

impl Identity {
    /// A self-signed identity, valid until the first of January.
    pub(crate) fn self_signed(host: &str, year_of_end: i32) -> Self {
        Self::made(host, |parameters| {
            parameters.not_after = rcgen::date_time_ymd(year_of_end, 1, 1);
        })
    }

    /// An identity that vouches for itself, with a certificate of one's own making.
    pub(crate) fn made(host: &str, make: impl FnOnce(&mut rcgen::CertificateParams)) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        make(&mut parameters);
        let certificate = parameters.self_signed(&key).unwrap();
        Self { certificate, key, authority: None, between: None }
    }

    /// An identity with a root, and an intermediate authority between both.
    pub(crate) fn chained(host: &str) -> Self {
        let authority = |name: &str| {
            let mut parameters = rcgen::CertificateParams::default();
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
            (parameters, rcgen::KeyPair::generate().unwrap())
        };
        let (root, root_key) = authority("root");
        let (between, between_key) = authority("between");
        let authority = root.self_signed(&root_key).unwrap();
        let root = rcgen::Issuer::new(root, root_key);
        let signed = between.signed_by(&between_key, &root).unwrap();
        let between = rcgen::Issuer::new(between, between_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &between).unwrap();
        Self { certificate, key, authority: Some(authority), between: Some(signed) }
    }

    /// The same, of a server that forgets what stands between it and its authority.
    #[must_use]
    pub(crate) fn incomplete(self) -> Self {
        Self { between: None, ..self }
    }

    /// The certificate that vouches for it, as a client's file of authorities.
    pub(crate) fn pem(&self) -> String {
        self.authority.as_ref().unwrap_or(&self.certificate).pem()
    }

    fn config(&self) -> Arc<ServerConfig> {
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                [Some(&self.certificate), self.between.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(|certificate| certificate.der().clone())
                    .collect(),
                key.into(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

impl TlsServer {
    /// Starts a server on a free port that answers every request with these bytes.
    pub(crate) async fn start(identity: &Identity, answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (config, answer) = (identity.config(), answer.into());
        let state = State { config, answer, is_broken: false, offers: Vec::new(), requests: 0 };
        let state = Arc::new(Mutex::new(state));
        let mut task = JoinSet::new();
        task.spawn(serve(listener, Arc::clone(&state)));
        Self { port, state, _task: task }
    }

    /// Where it is, as a client's base URL.
    pub(crate) fn base_url(&self) -> String {
        format!("https://127.0.0.1:{}/v1", self.port)
    }

    /// From now on the server is this one.
    pub(crate) fn become_another(&self, identity: &Identity) {
        self.state.lock().unwrap().config = identity.config();
    }

    /// From now on it answers with bytes that are no TLS.
    pub(crate) fn break_off(&self) {
        self.state.lock().unwrap().is_broken = true;
    }

    /// The protocols that each client so far offered to speak.
    pub(crate) fn offers(&self) -> Vec<Vec<String>> {
        self.state.lock().unwrap().offers.clone()
    }

    /// How many clients trusted it enough to ask.
    pub(crate) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut talks = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        talks.spawn(async move { drop(talk(stream, &state).await) });
        while talks.try_join_next().is_some() {}
    }
}

async fn talk(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let greeting = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let offer: Vec<String> = greeting
        .client_hello()
        .alpn()
        .map(|names| names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
        .unwrap_or_default();
    let (config, answer) = {
        let mut state = state.lock().unwrap();
        state.offers.push(offer);
        (Arc::clone(&state.config), state.answer.clone())
    };
    let mut stream = greeting.into_stream(config).await?;
    if stream.read(&mut [0; 4096]).await? > 0 {
        let is_broken = {
            let mut state = state.lock().unwrap();
            state.requests += 1;
            state.is_broken
        };
        if is_broken {
            let (wire, _) = stream.get_mut();
            wire.write_all(&answer).await?;
            return wire.shutdown().await;
        }
        stream.write_all(&answer).await?;
    }
    stream.shutdown().await
}
