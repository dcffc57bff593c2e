//! Defines the JSON forms of etcd's requests and answers, as far as the lock needs them.
//!
//! *Source:* `api/etcdserverpb/rpc.proto` of etcd, by the mapping of protocol buffers to JSON:
//! 64-bit numbers are strings, bytes are base64, and fields that have their default value are left
//! out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(D::Error::custom)
    }
}

/// A 64-bit number as a string. Some gateways write it as a number: that is read as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Number<T>(pub(crate) T);

impl<T: ToString> Serialize for Number<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}

impl<'de, T: DeserializeOwned + std::str::FromStr> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<T> {
            Text(String),
            Plain(T),
        }
        match Either::deserialize(deserializer)? {
            Either::Plain(number) => Ok(Self(number)),
            Either::Text(text) => {
                text.parse().map(Self).map_err(|_| D::Error::custom(format!("`{text}`: no number")))
            }
        }
    }
}

/// The head of every answer.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Header {
    pub(crate) revision: Number<i64>,
    pub(crate) raft_term: Number<u64>,
}

/// A key, its value and the revision of the store at which it was put where it was not.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct KeyValue {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) create_revision: Number<i64>,
}

#[derive(Serialize)]
pub(crate) struct RangeRequest {
    pub(crate) key: Bytes,
    pub(crate) range_end: Bytes,
    pub(crate) limit: Number<i64>,
    pub(crate) sort_target: &'static str,
    pub(crate) sort_order: &'static str,
    pub(crate) min_create_revision: Number<i64>,
    pub(crate) max_create_revision: Number<i64>,
    pub(crate) keys_only: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RangeAnswer {
    pub(crate) header: Header,
    pub(crate) kvs: Vec<KeyValue>,
    /// `true` if the limit has cut the answer.
    pub(crate) more: bool,
}

#[derive(Serialize)]
pub(crate) struct PutRequest {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) lease: Number<i64>,
}

#[derive(Serialize)]
pub(crate) struct DeleteRequest {
    pub(crate) key: Bytes,
}

/// A condition on a key's create revision; that of an absent key is 0.
#[derive(Serialize)]
pub(crate) struct Compare {
    pub(crate) target: &'static str,
    pub(crate) result: &'static str,
    pub(crate) key: Bytes,
    pub(crate) range_end: Bytes,
    pub(crate) create_revision: Number<i64>,
}

/// One operation of a transaction.
#[derive(Serialize)]
pub(crate) enum Operation {
    #[serde(rename = "request_range")]
    Range(RangeRequest),
    #[serde(rename = "request_put")]
    Put(PutRequest),
    #[serde(rename = "request_delete_range")]
    Delete(DeleteRequest),
}

#[derive(Serialize)]
pub(crate) struct TxnRequest {
    pub(crate) compare: Vec<Compare>,
    pub(crate) success: Vec<Operation>,
    pub(crate) failure: Vec<Operation>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TxnAnswer {
    pub(crate) header: Header,
    pub(crate) succeeded: bool,
    pub(crate) responses: Vec<OperationAnswer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OperationAnswer {
    pub(crate) response_range: Option<RangeAnswer>,
}

#[derive(Serialize)]
pub(crate) struct GrantRequest {
    #[serde(rename = "TTL")]
    pub(crate) ttl: Number<i64>,
}

#[derive(Serialize)]
pub(crate) struct LeaseRequest {
    #[serde(rename = "ID")]
    pub(crate) id: Number<i64>,
}

/// The answer to a grant, a keep-alive and a revocation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LeaseAnswer {
    pub(crate) header: Header,
    #[serde(rename = "ID")]
    pub(crate) id: Number<i64>,
    #[serde(rename = "TTL")]
    pub(crate) ttl: Number<i64>,
}

/// One message of a stream.
#[derive(Debug, Deserialize)]
pub(crate) struct Message<T> {
    pub(crate) result: T,
}

#[derive(Serialize)]
pub(crate) struct LoginRequest<'a> {
    pub(crate) name: &'a str,
    pub(crate) password: &'a str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LoginAnswer {
    pub(crate) token: String,
}

#[derive(Serialize)]
pub(crate) struct WatchRequest {
    pub(crate) create_request: WatchCreate,
}

#[derive(Serialize)]
pub(crate) struct WatchCreate {
    pub(crate) key: Bytes,
    pub(crate) start_revision: Number<i64>,
    pub(crate) filters: [&'static str; 1],
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WatchAnswer {
    pub(crate) canceled: bool,
    pub(crate) cancel_reason: String,
    pub(crate) compact_revision: Number<i64>,
    pub(crate) events: Vec<serde::de::IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use super::{Bytes, LeaseAnswer, Message, Number, RangeAnswer, WatchAnswer};

    #[test]
    fn answers_of_etcd_3_4_are_read() {
        let range: RangeAnswer = serde_json::from_str(
            r#"{"header":{"cluster_id":"3","member_id":"4","revision":"9","raft_term":"2"},
                "kvs":[{"key":"aw==","create_revision":"2","mod_revision":"2","version":"1",
                "value":"dg=="}],"count":"1"}"#,
        )
        .expect("a range");
        assert_eq!((range.header.revision.0, range.header.raft_term.0), (9, 2));
        assert_eq!(range.kvs[0].create_revision, Number(2));
        assert_eq!(range.kvs[0].key, Bytes(b"k".to_vec()));

        let expired: Message<LeaseAnswer> =
            serde_json::from_str(r#"{"result":{"header":{"raft_term":"2"},"ID":"99"}}"#)
                .expect("a keep-alive");
        assert_eq!((expired.result.id.0, expired.result.ttl.0), (99, 0));

        let compacted: Message<WatchAnswer> = serde_json::from_str(
            r#"{"result":{"header":{"raft_term":"2"},"canceled":true,"compact_revision":"3"}}"#,
        )
        .expect("a watch");
        assert!(compacted.result.canceled && compacted.result.compact_revision.0 == 3);
    }

    #[test]
    fn hostile_numbers_and_bytes_are_errors() {
        for text in [r#"{"ID":"x"}"#, r#"{"ID":{}}"#, r#"{"ID":"99999999999999999999"}"#] {
            assert!(serde_json::from_str::<LeaseAnswer>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Bytes>("\"*\"").is_err());
        assert_eq!(serde_json::from_str::<Number<i64>>("7").expect("a plain number"), Number(7));
    }
}
