//! The environment variables of an attempt.

use std::net::{Ipv4Addr, TcpListener};

use super::*;
use crate::harness::child::{passed_in_child, proxy_variables};

#[test]
fn proxy_variables_are_ignored() {
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let test = "webhook::environment::proxy_variables_are_ignored";
    if passed_in_child(test, &proxy_variables(&url)) {
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
