//! What `-v` shows of requests and answers, without secrets.

use std::time::Duration;

use serde_json::Value;

use super::Log;
use crate::output::mask;

impl Log {
    /// Level 6: that a request was answered.
    pub(super) fn answered(
        &self,
        method: &http::Method,
        url: &str,
        status: http::StatusCode,
        took: Duration,
    ) {
        if self.level >= 6 {
            let url = without_password(url);
            self.line(&format!(
                "{method} {url} {status} in {} milliseconds",
                took.as_millis()
            ));
        }
    }

    /// Level 6: that a request got no answer.
    pub(super) fn failed(&self, method: &http::Method, url: &str, took: Duration) {
        if self.level >= 6 {
            let url = without_password(url);
            self.line(&format!(
                "{method} {url}: no answer in {} milliseconds",
                took.as_millis()
            ));
        }
    }

    /// Level 6: that a request will be made again.
    pub(super) fn again(&self, wait: Duration) {
        if self.level >= 6 {
            self.line(&format!("trying again in {} milliseconds", wait.as_millis()));
        }
    }

    /// Level 8: a body; `what` is `Request` or `Response`.
    pub(super) fn body(&self, what: &str, body: &[u8]) {
        if self.level < 8 || body.is_empty() {
            return;
        }
        let text = match serde_json::from_slice::<Value>(body) {
            Ok(value) => masked(&value).to_string(),
            Err(_) => String::from_utf8_lossy(body).into_owned(),
        };
        let most = match self.level {
            8 => 1024,
            9 => 10240,
            _ => usize::MAX,
        };
        let end = text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
        let cut = text.len() - end;
        let tail = if cut > 0 {
            format!(" [truncated {cut} bytes]")
        } else {
            String::new()
        };
        self.line(&format!("{what} Body: {}{tail}", &text[..end]));
    }

    pub(super) fn line(&self, text: &str) {
        (self.write)(text);
    }
}

/// An object without the data of Secrets and the values of variables that look like secrets.
fn masked(value: &Value) -> Value {
    fn walk(value: &mut Value, secret: bool) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(|value| walk(value, secret)),
            Value::Object(map) => {
                let kind = map.get("kind").and_then(Value::as_str).unwrap_or("");
                let secret = secret || kind == "Secret" || kind == "SecretList" || kind == "TokenRequest";
                for (key, value) in map.iter_mut() {
                    let hidden =
                        secret && matches!(&**key, "data" | "stringData" | "annotations") || key == "token";
                    if hidden && !value.is_null() {
                        *value = Value::from("***");
                    } else {
                        walk(value, secret);
                    }
                }
            }
            _ => {}
        }
    }
    let mut value = mask::anywhere(value);
    walk(&mut value, false);
    value
}

/// A URL whose password is not shown.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}{after}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn shown(level: u32, show: impl Fn(&Log)) -> String {
        let lines = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&lines);
        show(&Log {
            level,
            write: Arc::new(move |text| kept.lock().unwrap().push_str(text)),
        });
        std::mem::take(&mut *lines.lock().unwrap())
    }

    #[test]
    fn levels_show_what_kubectl_shows() {
        let took = Duration::from_millis(12);
        let line = |log: &Log| {
            log.answered(
                &http::Method::GET,
                "https://u:p@h/api",
                http::StatusCode::OK,
                took,
            );
        };
        assert_eq!(shown(6, line), "GET https://***@h/api 200 OK in 12 milliseconds");
        assert_eq!(shown(5, line), "");
        assert_eq!(shown(7, |log| log.body("Request", b"{}")), "");
        let long = format!("\"{}\"", "é".repeat(2000));
        let text = shown(8, |log| log.body("Response", long.as_bytes()));
        assert!(
            text.starts_with("Response Body: \"éé") && text.ends_with(" [truncated 1955 bytes]"),
            "{text}"
        );
        assert_eq!(
            shown(10, |log| log.body("Response", long.as_bytes()))
                .chars()
                .count(),
            2017
        );
    }

    #[test]
    fn secrets_are_masked_in_bodies() {
        let list = serde_json::json!({"kind": "SecretList", "items": [
            {"metadata": {"name": "s", "annotations": {"last-applied": "hidden"}}, "data": {"k": "hidden"}}]});
        let pod = serde_json::json!({"kind": "Pod", "spec": {"containers": [
            {"env": [{"name": "API_TOKEN", "value": "hidden"}, {"name": "LANG", "value": "C"}]}]}});
        let request = serde_json::json!({"kind": "TokenRequest", "status": {"token": "hidden"}});
        for value in [list, pod, request] {
            let text = shown(10, |log| log.body("Response", value.to_string().as_bytes()));
            assert!(text.contains("***") && !text.contains("hidden"), "{text}");
        }
    }
}
