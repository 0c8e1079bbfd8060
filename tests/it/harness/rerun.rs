//! One test again, in a process of its own, where the environment is another.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

/// Runs the test of that whole name again, in a process with other variables, where it must pass.
/// `false` in that process.
pub(crate) fn passed_in_child(test: &str, variables: &[(&str, &str)]) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return false;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD, "1");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let is_run = String::from_utf8_lossy(&output.stdout).contains("1 passed");
    assert!(output.status.success() && is_run, "{test}: {output:?}");
    true
}

/// Runs a request in a process where all variables name a proxy, which must not be asked.
pub(crate) fn check_ignores_proxies(test: &str, request: impl Future<Output = ()>) {
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    if passed_in_child(test, &proxy_variables(&url)) {
        proxy.set_nonblocking(true).unwrap();
        assert!(proxy.accept().is_err(), "the proxy was asked");
    } else {
        block_on(request);
    }
}

/// Runs a future where the test has no runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

/// The variables that name a proxy, each with that URL, and those that name exceptions.
fn proxy_variables(url: &str) -> Vec<(&'static str, &str)> {
    let names =
        ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    names.into_iter().map(|name| (name, url)).chain([("no_proxy", ""), ("NO_PROXY", "")]).collect()
}

const CHILD: &str = "AVATAR_WATCH_TEST_CHILD";
