//! The way to a webhook's receiver: straight, or through a proxy; and TLS at its end. What stands
//! on it is found out here without sending a message.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use crate::domain::delivery::egress_policy::EgressPolicy;
use crate::domain::delivery::{Outcome, OutcomeClass};
use crate::notify::transport_error::{self, CONNECT, TLS};
use crate::notify::webhook::handshake;
use crate::notify::webhook::proxy::{PROXY, Proxy, Tunnel};
use crate::notify::webhook::ssrf_guard;
use crate::notify::webhook::tunnel::{self, TunnelReply};

/// How a receiver is reached.
pub(in crate::notify) struct Route {
    /// Where it is.
    pub(in crate::notify) url: Url,
    /// Its host, as it may be shown.
    pub(in crate::notify) host: String,
    /// What stands before it.
    pub(in crate::notify) proxy: Option<Proxy>,
    /// How far it may lead.
    pub(in crate::notify) egress: EgressPolicy,
    /// Certificates to trust besides those of the system, as PEM.
    pub(in crate::notify) ca_pem: Option<Vec<u8>>,
    /// The longest that each step of connecting may take.
    pub(in crate::notify) connect_limit: Duration,
}

impl Route {
    /// Goes it as far as it goes without sending anything: to the connection and through TLS. The
    /// phase is the last step that was tried. Where a proxy passes `http` on, it is the proxy that
    /// is connected to, and the phase says so. What of an answer is `hidden` is not shown.
    pub(in crate::notify) async fn probe(&self, hidden: &[String]) -> Outcome {
        let connected = match &self.proxy {
            None => self.connect(&self.host, self.address(), self.egress).await,
            Some(proxy) if self.tunnel() == Tunnel::None => {
                let connected = self.connect_to_proxy(proxy).await;
                return connected.err().unwrap_or(Outcome::new(OutcomeClass::Delivered, PROXY));
            }
            Some(proxy) => self.through(proxy, hidden).await,
        };
        let stream = match connected {
            Ok(stream) => stream,
            Err(outcome) => return outcome,
        };
        if self.tunnel() == Tunnel::None {
            return Outcome::new(OutcomeClass::Delivered, CONNECT);
        }
        let (host, _) = self.address();
        let shaken = handshake::handshake(stream, host, self.ca_pem.as_deref());
        match timeout(self.connect_limit, shaken).await {
            Ok(Ok(())) => Outcome::new(OutcomeClass::Delivered, TLS),
            Ok(Err(error)) => match transport_error::cause::<rustls::Error>(&error) {
                Some(tls) => transport_error::no_tls(&self.host, tls, hidden),
                None => transport_error::not_connected(&self.host, &error),
            },
            Err(_) => {
                let text = format!("`{}` did not shake hands for TLS in time", self.host);
                transport_error::failed_outcome(OutcomeClass::Retryable, TLS, text)
            }
        }
    }

    /// Why the proxy opens no tunnel, if it opens none: it is asked once more, since the client
    /// that messages go through does not tell.
    pub(in crate::notify) async fn refusal(&self, hidden: &[String]) -> Option<Outcome> {
        let proxy = self.proxy.as_ref().filter(|_| self.tunnel() == Tunnel::Requested)?;
        let asked = timeout(REFUSAL_TIMEOUT, self.ask(proxy)).await.ok()?.ok()?.ok()?;
        match asked {
            TunnelReply::Open(_) => None,
            TunnelReply::Refused(refusal) => Some(proxy.refused(&self.host, &refusal, hidden)),
        }
    }

    /// What a proxy is asked for.
    pub(in crate::notify) fn tunnel(&self) -> Tunnel {
        if self.url.scheme() == "https" { Tunnel::Requested } else { Tunnel::None }
    }

    async fn through(&self, proxy: &Proxy, hidden: &[String]) -> Result<TcpStream, Outcome> {
        let broken =
            |error: &io::Error| proxy.fault(transport_error::not_connected(&proxy.host, error));
        match timeout(self.connect_limit, self.ask(proxy)).await {
            Ok(asked) => match asked?.map_err(|error| broken(&error))? {
                TunnelReply::Open(stream) => Ok(stream),
                TunnelReply::Refused(refusal) => Err(proxy.refused(&self.host, &refusal, hidden)),
            },
            Err(_) => Err(broken(&io::ErrorKind::TimedOut.into())),
        }
    }

    async fn ask(&self, proxy: &Proxy) -> Result<io::Result<TunnelReply>, Outcome> {
        let stream = self.connect_to_proxy(proxy).await?;
        let (_, port) = self.address();
        let authority = format!("{}:{port}", self.host);
        Ok(tunnel::request_tunnel(stream, &authority, proxy.login().as_deref()).await)
    }

    async fn connect_to_proxy(&self, proxy: &Proxy) -> Result<TcpStream, Outcome> {
        let connected =
            self.connect(&proxy.host, proxy.address(), EgressPolicy::AllowPrivate).await;
        connected.map_err(|outcome| proxy.fault(outcome))
    }

    async fn connect(
        &self,
        shown: &str,
        (host, port): (&str, u16),
        reach: EgressPolicy,
    ) -> Result<TcpStream, Outcome> {
        let addresses = transport_error::resolve(host, port, self.connect_limit).await;
        let addresses = addresses.map_err(|error| error.outcome(shown))?;
        let admitted = ssrf_guard::filter_addresses(addresses, reach);
        let admitted = admitted.map_err(|refused| refused.outcome(shown))?;
        transport_error::connect(shown, &admitted, self.connect_limit).await
    }

    /// The name or address of the receiver without brackets, and its port.
    fn address(&self) -> (&str, u16) {
        // A URL of `http` or `https` always has a port.
        let port = self.url.port_or_known_default().unwrap_or_default();
        (self.host.trim_matches(['[', ']']), port)
    }
}

/// How long it may take to learn why a tunnel was refused.
pub(in crate::notify) const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);
