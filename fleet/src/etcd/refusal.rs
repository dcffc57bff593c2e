//! Turns the answer of a server that refuses into an error.
//!
//! The words are those of `api/v3rpc/rpctypes/error.go` of etcd, the codes those of gRPC.

use serde_json::Value;

use crate::endpoint::Endpoint;
use crate::error::Error;

/// What a server says when it refuses.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    pub(crate) code: i64,
    pub(crate) message: String,
}

/// The code of "a resource is exhausted": the database's quota, or the requests under way.
const EXHAUSTED: i64 = 8;
/// The gateway's own connection was closed: the member is being shut down.
const CANCELLED: i64 = 1;
const DEADLINE_EXCEEDED: i64 = 4;
const PERMISSION_DENIED: i64 = 7;
const UNAVAILABLE: i64 = 14;
const UNAUTHENTICATED: i64 = 16;

impl Refusal {
    /// Finds the refusal in an answer, if it is one.
    ///
    /// A single answer has `{"error": TEXT, "code": NUMBER}`, newer gateways
    /// `{"code": NUMBER, "message": TEXT}`. A stream has
    /// `{"error": {"grpc_code": NUMBER, "message": TEXT}}`.
    pub(crate) fn find(answer: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match answer.get("error") {
            Some(Value::Object(inner)) => Some(Self {
                code: ["grpc_code", "code"]
                    .iter()
                    .find_map(|name| inner.get(*name)?.as_i64())
                    .unwrap_or_default(),
                message: inner.get("message").and_then(text).unwrap_or_default(),
            }),
            None if answer.get("code").is_none() => None,
            error => Some(Self {
                code: answer.get("code").and_then(Value::as_i64).unwrap_or_default(),
                message: answer
                    .get("message")
                    .and_then(text)
                    .or_else(|| error.and_then(text))
                    .unwrap_or_default(),
            }),
        }
    }

    /// Returns `true` if a new login may help: the token has expired, or the server has forgotten
    /// it at a restart, or users were changed since (`auth_token_ttl`, five minutes by default).
    pub(crate) fn asks_for_new_login(&self) -> bool {
        self.code == UNAUTHENTICATED || self.message.contains("revision of auth store is old")
    }

    /// Returns `true` if the lease has ended.
    pub(crate) fn is_lease_unknown(&self) -> bool {
        self.message.contains("requested lease not found")
    }

    /// Returns `true` if the gateway does not know the path of the request.
    pub(crate) fn is_path_unknown(&self) -> bool {
        self.message == "Not Found"
    }

    /// Returns the error.
    pub(crate) fn into_error(self, endpoint: &Endpoint, user: Option<&str>, prefix: &str) -> Error {
        let Self { code, message } = self;
        let says = |text| message.contains(text);
        let user = user.unwrap_or_default().to_owned();
        let endpoint = endpoint.as_str().to_owned();
        if says("invalid user ID or password") {
            Error::WrongPassword { endpoint, user }
        } else if says("authentication is not enabled") {
            Error::AuthDisabled { endpoint }
        } else if says("user name is empty") || code == UNAUTHENTICATED {
            Error::LoginNeeded { endpoint }
        } else if code == PERMISSION_DENIED || says("permission denied") {
            Error::PermissionDenied { endpoint, prefix: prefix.to_owned() }
        } else if code == EXHAUSTED && says("database space exceeded") {
            Error::QuotaExceeded { endpoint }
        } else if matches!(code, CANCELLED | DEADLINE_EXCEEDED | EXHAUSTED | UNAVAILABLE)
            || says("leader")
            || says("learner")
        {
            Error::Lagging { endpoint, message }
        } else {
            Error::Refused { endpoint, code, message }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Refusal;
    use crate::endpoint::Endpoint;
    use crate::error::Error;

    fn error(answer: &serde_json::Value) -> Error {
        let endpoint = Endpoint::new("http://h:1").expect("an endpoint");
        Refusal::find(answer).expect("a refusal").into_error(&endpoint, Some("u"), "p/")
    }

    #[test]
    fn each_refusal_of_etcd_has_its_error() {
        let full = json!({"error": "etcdserver: mvcc: database space exceeded", "code": 8});
        assert!(matches!(error(&full), Error::QuotaExceeded { .. }));
        let busy = json!({"error": "etcdserver: too many requests", "code": 8});
        assert!(matches!(error(&busy), Error::Lagging { .. }));
        let alone = json!({"error": "etcdserver: request timed out", "code": 14});
        assert!(matches!(error(&alone), Error::Lagging { .. }));
        let learner = json!({"message": "etcdserver: rpc not supported for learner", "code": 14});
        assert!(matches!(error(&learner), Error::Lagging { .. }));
        let ending = json!({"error": "grpc: the client connection is closing", "code": 1});
        assert!(matches!(error(&ending), Error::Lagging { .. }));
        let late = json!({"error": "context deadline exceeded", "code": 4});
        assert!(matches!(error(&late), Error::Lagging { .. }));
        let denied = json!({"error": "etcdserver: permission denied", "code": 7});
        assert!(matches!(error(&denied), Error::PermissionDenied { .. }));
        let nameless = json!({"error": "etcdserver: user name is empty", "code": 3});
        assert!(matches!(error(&nameless), Error::LoginNeeded { .. }));
        let stream = json!({"error": {"grpc_code": 5, "message": "requested lease not found"}});
        assert!(Refusal::find(&stream).expect("a refusal").is_lease_unknown());
        assert!(matches!(error(&stream), Error::Refused { code: 5, .. }));
    }

    #[test]
    fn an_answer_is_no_refusal() {
        assert!(Refusal::find(&json!({"header": {}, "succeeded": true})).is_none());
        assert!(Refusal::find(&json!([1])).is_none());
    }
}
