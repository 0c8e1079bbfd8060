//! The environment variables of an attempt.

use std::net::{Ipv4Addr, TcpListener};

use super::*;
use crate::harness::child::in_child;

#[test]
fn proxy_variables_are_ignored() {
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let names =
        ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let mut variables: Vec<_> = names.iter().map(|name| (*name, url.as_str())).collect();
    variables.extend([("no_proxy", ""), ("NO_PROXY", "")]);
    let test = "webhook::surroundings::proxy_variables_are_ignored";
    if let Some(output) = in_child(test, &variables) {
        assert!(output.status.success(), "{output:?}");
        proxy.set_nonblocking(true).unwrap();
        assert!(proxy.accept().is_err(), "the proxy was asked");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let receiver = Receiver::start().await;
        let outcome = attempt(&channel(&receiver.url())).await;
        assert_eq!(outcome.class, OutcomeClass::Delivered, "{outcome:?}");
    });
}
