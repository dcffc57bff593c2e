//! Sends the requests of a lock by the library's HTTP client, without the library.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shmlock_bench_support::Result;
use ureq::Agent;

/// A client of one member.
pub(crate) struct Bare {
    agent: Agent,
    endpoint: String,
}

/// Encodes a key or a value as the gateway wants it.
pub(crate) fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

impl Bare {
    pub(crate) fn new(endpoint: &str) -> Self {
        let config = Agent::config_builder().max_redirects(0).proxy(None);
        Self { agent: config.build().into(), endpoint: endpoint.to_owned() }
    }

    /// Posts a request and reads its answer.
    pub(crate) fn call(&self, path: &str, request: &Value) -> Result<Value> {
        let mut answer = self
            .agent
            .post(format!("{}{path}", self.endpoint))
            .header("Content-Type", "application/json")
            .send(request.to_string())?;
        Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
    }

    pub(crate) fn grant(&self, ttl: u64) -> Result<String> {
        let answer = self.call("/v3/lease/grant", &json!({ "TTL": ttl }))?;
        Ok(answer["ID"].as_str().ok_or("a lease without a number")?.to_owned())
    }

    pub(crate) fn revoke(&self, lease: &str) -> Result<()> {
        self.call("/v3/lease/revoke", &json!({ "ID": lease })).map(drop)
    }

    pub(crate) fn put(&self, key: &str, value: &str) -> Result<()> {
        let request = json!({ "key": encode(key), "value": encode(value) });
        self.call("/v3/kv/put", &request).map(drop)
    }

    pub(crate) fn delete(&self, key: &str) -> Result<()> {
        self.call("/v3/kv/deleterange", &json!({ "key": encode(key) })).map(drop)
    }

    /// Puts the key of a contender if it is not there, and reads it and the key before it, by the
    /// same transaction as the library.
    pub(crate) fn contend(&self, prefix: &str, lease: &str) -> Result<()> {
        let key = encode(&format!("{prefix}{lease}"));
        let put = json!({ "key": key, "value": encode("bare"), "lease": lease });
        let read = json!({
            "key": encode(prefix),
            "range_end": encode(&end_of(prefix)),
            "limit": 2,
            "sort_target": "CREATE",
            "sort_order": "DESCEND",
            "max_create_revision": i64::MAX.to_string(),
        });
        let success = json!([{ "request_put": put }, { "request_range": read }]);
        self.transact(&key, "EQUAL", &success)
    }

    /// Deletes the key of a contender if it is there: the transaction of a release.
    pub(crate) fn withdraw(&self, prefix: &str, lease: &str) -> Result<()> {
        let key = encode(&format!("{prefix}{lease}"));
        let success = json!([{ "request_delete_range": { "key": key } }]);
        self.transact(&key, "GREATER", &success)
    }

    /// Runs the operations if the key's create revision compares so with 0, that of no key.
    fn transact(&self, key: &str, result: &str, success: &Value) -> Result<()> {
        let compare = json!({
            "target": "CREATE", "result": result, "key": key, "create_revision": 0,
        });
        let request = json!({ "compare": [compare], "success": success });
        match self.call("/v3/kv/txn", &request)?["succeeded"].as_bool() {
            Some(true) => Ok(()),
            _ => Err("the condition of a transaction does not hold".into()),
        }
    }

    /// Returns the keys under a prefix, and the lease of each.
    pub(crate) fn keys(&self, prefix: &str) -> Result<Vec<(String, String)>> {
        let request = json!({ "key": encode(prefix), "range_end": encode(&end_of(prefix)) });
        let answer = self.call("/v3/kv/range", &request)?;
        let pairs = answer["kvs"].as_array().map_or(&[][..], Vec::as_slice).iter().map(|kv| {
            let key = STANDARD.decode(kv["key"].as_str().unwrap_or_default())?;
            let lease = kv["lease"].as_str().unwrap_or("0");
            Ok((String::from_utf8(key)?, lease.to_owned()))
        });
        pairs.collect()
    }

    /// Returns the member's counters: the values of each name, added up over its labels.
    pub(crate) fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let url = format!("{}/metrics", self.endpoint);
        let text = self.agent.get(url).call()?.body_mut().read_to_string()?;
        let mut sums = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let name = name.split('{').next().unwrap_or(name);
            *sums.entry(name.to_owned()).or_default() += value.parse().unwrap_or(0.0);
        }
        Ok(sums)
    }
}

/// Returns the end of the keys under a prefix that ends in `/`, which `0` follows.
fn end_of(prefix: &str) -> String {
    format!("{}0", prefix.trim_end_matches('/'))
}
