use chrono::{DateTime, Utc};

/// Length of the buckets into which time is cut, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    Hour,
    /// From midnight.
    Day,
    /// From Monday's midnight.
    Week,
}

impl Interval {
    pub fn as_str(self) -> &'static str {
        match self {
            Interval::Hour => "hour",
            Interval::Day => "day",
            Interval::Week => "week",
        }
    }

    pub fn seconds(self) -> i64 {
        match self {
            Interval::Hour => 3600,
            Interval::Day => 86_400,
            Interval::Week => 7 * 86_400,
        }
    }

    /// From the beginning of bucket 0 to the Unix epoch, which was on a Thursday; seconds.
    pub fn offset_seconds(self) -> i64 {
        match self {
            Interval::Hour | Interval::Day => 0,
            Interval::Week => 3 * 86_400,
        }
    }

    /// The number of the bucket that `time` falls into.
    pub fn bucket(self, time: DateTime<Utc>) -> i64 {
        (time.timestamp() + self.offset_seconds()).div_euclid(self.seconds())
    }

    /// When a bucket begins; `None` if that is beyond the calendar.
    pub fn start(self, bucket: i64) -> Option<DateTime<Utc>> {
        let seconds = bucket.checked_mul(self.seconds())?;
        DateTime::from_timestamp(seconds - self.offset_seconds(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_days_and_weeks_begin_where_people_expect() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        for (interval, at, start) in [
            (
                Interval::Hour,
                "2026-03-01T08:59:59.999Z",
                "2026-03-01T08:00:00Z",
            ),
            (
                Interval::Hour,
                "2026-03-01T09:00:00Z",
                "2026-03-01T09:00:00Z",
            ),
            (
                Interval::Day,
                "2026-03-01T23:59:59Z",
                "2026-03-01T00:00:00Z",
            ),
            // A Sunday, and the Monday after it.
            (
                Interval::Week,
                "2026-03-01T23:59:59Z",
                "2026-02-23T00:00:00Z",
            ),
            (
                Interval::Week,
                "2026-03-02T00:00:00Z",
                "2026-03-02T00:00:00Z",
            ),
            (
                Interval::Week,
                "1970-01-01T00:00:00Z",
                "1969-12-29T00:00:00Z",
            ),
        ] {
            let bucket = interval.bucket(time(at));
            assert_eq!(interval.start(bucket), Some(time(start)), "{at}");
        }
        assert_eq!(Interval::Week.start(i64::MAX), None);
    }
}
