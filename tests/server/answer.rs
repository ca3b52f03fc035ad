//! What the server answered, and what tests ask of it.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The rows of a CSV file, the header first.
    pub fn csv(&self) -> Vec<Vec<String>> {
        let text = self.text();
        assert_eq!(self.status, 200, "{text}");
        assert_eq!(
            self.header("content-type"),
            Some("text/csv; charset=utf-8; header=present")
        );
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes());
        let rows = reader.records().map(|row| row.expect("CSV"));
        rows.map(|row| row.iter().map(str::to_owned).collect())
            .collect()
    }

    /// The envelope's data, of a success.
    pub fn data(&self) -> Value {
        let body = self.json();
        assert_eq!(self.status, 200, "{body}");
        assert_eq!(body["message"], "Success", "{body}");
        body["data"].clone()
    }

    /// The message of a failure, which must be this one.
    pub fn refused(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!(self.status, status, "{body}");
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["data"], Value::Null, "{body}");
        body["message"].as_str().expect("a message").to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}
