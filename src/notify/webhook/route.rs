//! The route to a webhook's receiver: directly or through a proxy, and TLS. Probes it without
//! sending a message.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::domain::delivery::{AT_PROXY, Outcome, OutcomeClass};
use crate::network::error_chain::cause;
use crate::notify::ssrf_guard;
use crate::notify::transport_error::{self, CONNECT, TLS, failed_outcome};
use crate::notify::webhook::proxy::{Proxy, Tunnel};
use crate::notify::webhook::tls_check;
use crate::notify::webhook::tunnel::{self, TunnelReply};

pub(in crate::notify) struct Route {
    pub(in crate::notify) url: Url,
    /// For messages.
    pub(in crate::notify) host: String,
    pub(in crate::notify) proxy: Option<Proxy>,
    pub(in crate::notify) egress: EgressPolicy,
    /// More root certificates, as PEM.
    pub(in crate::notify) ca_pem: Option<Vec<u8>>,
    /// The limit of each step of connecting.
    pub(in crate::notify) connect_limit: Duration,
}

impl Route {
    /// Connects and performs the TLS handshake. The phase is the last step that was attempted;
    /// `proxy` when a proxy forwards `http`, since only the proxy is connected to. `hidden` texts
    /// are masked.
    pub(in crate::notify) async fn probe(&self, hidden: &[String]) -> Outcome {
        let connected = match &self.proxy {
            None => self.connect(&self.host, self.address(), self.egress).await,
            Some(proxy) if self.tunnel() == Tunnel::None => {
                let connected = self.connect_to_proxy(proxy).await;
                return connected.err().unwrap_or(Outcome::new(OutcomeClass::Delivered, AT_PROXY));
            }
            Some(proxy) => self.connect_through(proxy, hidden).await,
        };
        let stream = match connected {
            Ok(stream) => stream,
            Err(outcome) => return outcome,
        };
        if self.tunnel() == Tunnel::None {
            return Outcome::new(OutcomeClass::Delivered, CONNECT);
        }
        let (host, _) = self.address();
        let handshake = tls_check::handshake(stream, host, self.ca_pem.as_deref());
        match timeout(self.connect_limit, handshake).await {
            Ok(Ok(())) => Outcome::new(OutcomeClass::Delivered, TLS),
            Ok(Err(error)) => match cause::<rustls::Error>(&error) {
                Some(tls) => transport_error::no_tls(&self.host, tls, hidden),
                None => transport_error::not_connected(&self.host, &error),
            },
            Err(_) => {
                let text = format!("`{}` did not complete the TLS handshake in time", self.host);
                failed_outcome(OutcomeClass::Retryable, TLS, text)
            }
        }
    }

    /// Why the proxy opens no tunnel, if it opens none. Asks the proxy once more, since the error
    /// of the HTTP client does not contain its response.
    pub(in crate::notify) async fn refusal(&self, hidden: &[String]) -> Option<Outcome> {
        let proxy = self.proxy.as_ref().filter(|_| self.tunnel() == Tunnel::Requested)?;
        let reply = timeout(REFUSAL_TIMEOUT, self.request_tunnel(proxy)).await.ok()?.ok()?.ok()?;
        match reply {
            TunnelReply::Open(_) => None,
            TunnelReply::Refused(refusal) => Some(proxy.refused(&self.host, &refusal, hidden)),
        }
    }

    pub(in crate::notify) fn tunnel(&self) -> Tunnel {
        if self.url.scheme() == "https" { Tunnel::Requested } else { Tunnel::None }
    }

    async fn connect_through(
        &self,
        proxy: &Proxy,
        hidden: &[String],
    ) -> Result<TcpStream, Outcome> {
        let failed = |error: &io::Error| {
            proxy.unreachable(transport_error::not_connected(&proxy.host, error))
        };
        match timeout(self.connect_limit, self.request_tunnel(proxy)).await {
            Ok(reply) => match reply?.map_err(|error| failed(&error))? {
                TunnelReply::Open(stream) => Ok(stream),
                TunnelReply::Refused(refusal) => Err(proxy.refused(&self.host, &refusal, hidden)),
            },
            Err(_) => Err(failed(&io::ErrorKind::TimedOut.into())),
        }
    }

    async fn request_tunnel(&self, proxy: &Proxy) -> Result<io::Result<TunnelReply>, Outcome> {
        let stream = self.connect_to_proxy(proxy).await?;
        let (_, port) = self.address();
        let authority = format!("{}:{port}", self.host);
        Ok(tunnel::request_tunnel(stream, &authority, proxy.login().as_deref()).await)
    }

    async fn connect_to_proxy(&self, proxy: &Proxy) -> Result<TcpStream, Outcome> {
        let connected =
            self.connect(&proxy.host, proxy.address(), EgressPolicy::AllowPrivate).await;
        connected.map_err(|outcome| proxy.unreachable(outcome))
    }

    async fn connect(
        &self,
        shown: &str,
        (host, port): (&str, u16),
        egress: EgressPolicy,
    ) -> Result<TcpStream, Outcome> {
        let addresses = transport_error::resolve(host, port, self.connect_limit).await;
        let addresses = addresses.map_err(|error| error.outcome(shown))?;
        let admitted = ssrf_guard::filter_addresses(addresses, egress);
        let admitted = admitted.map_err(|refused| refused.outcome(shown))?;
        transport_error::connect(shown, &admitted, self.connect_limit).await
    }

    /// The host of the receiver without brackets, and its port.
    fn address(&self) -> (&str, u16) {
        // A URL of `http` or `https` always has a port.
        let port = self.url.port_or_known_default().unwrap_or_default();
        (self.host.trim_matches(['[', ']']), port)
    }
}

/// The limit of asking why a tunnel was refused.
pub(in crate::notify) const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);
