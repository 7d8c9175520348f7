//! Console transcripts: README.md and tests/transcripts/*.md are documentation and test alike. The commands go
//! through the real kubectl, which finds the plugin on PATH.

mod support;

#[test]
fn transcripts_show_what_the_commands_print() {
    let kubectl = support::kubectl();
    let plugin = std::path::Path::new(support::PLUGIN).parent().unwrap();
    let mut path = std::ffi::OsString::from(plugin);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    trycmd::TestCases::new()
        .register_bin("kubectl", kubectl)
        .env("PATH", path.to_str().unwrap())
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .case("README.md")
        .case("tests/transcripts/*.md");
}
