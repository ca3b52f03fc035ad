use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Result, Tx};
use crate::domain::Announcement;

#[derive(sqlx::FromRow)]
struct AnnouncementRow {
    announcement_id: Uuid,
    topic: String,
    payload: String,
    created_at: DateTime<Utc>,
    next_send_at: DateTime<Utc>,
}

impl From<AnnouncementRow> for Announcement {
    fn from(row: AnnouncementRow) -> Announcement {
        Announcement {
            announcement_id: row.announcement_id,
            topic: row.topic,
            payload: row.payload,
            created_at: row.created_at,
            next_send_at: row.next_send_at,
        }
    }
}

impl Tx {
    /// Puts an announcement into the outbox, in the place of one with its id.
    pub async fn put_announcement(&mut self, announcement: &Announcement) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "INSERT INTO announcements (announcement_id, topic, payload, created_at, next_send_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (announcement_id) DO UPDATE
             SET payload = excluded.payload, created_at = excluded.created_at,
                 next_send_at = excluded.next_send_at",
        )
        .bind(announcement.announcement_id)
        .bind(&announcement.topic)
        .bind(&announcement.payload)
        .bind(announcement.created_at)
        .bind(announcement.next_send_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Puts an alert into the outbox, unless `limit` or more wait there: whether it was put. Alerts
    /// are what is not on `available`.
    pub async fn put_alert(
        &mut self,
        announcement: &Announcement,
        available: &str,
        limit: i64,
    ) -> Result<bool> {
        let put = on!(self, |conn| {
            sqlx::query(
            "INSERT INTO announcements (announcement_id, topic, payload, created_at, next_send_at)
             SELECT $1, $2, $3, $4, $5
             WHERE (SELECT COUNT(*) FROM announcements WHERE topic <> $6) < $7",
        )
        .bind(announcement.announcement_id)
        .bind(&announcement.topic)
        .bind(&announcement.payload)
        .bind(announcement.created_at)
        .bind(announcement.next_send_at)
        .bind(available)
        .bind(limit)
        .execute(conn)
        .await
        .map(|done| done.rows_affected())
        })?;
        Ok(put > 0)
    }

    /// The announcements that are due, most overdue first, locked for this transaction; those that
    /// another server holds are passed over.
    pub async fn lock_due_announcements(
        &mut self,
        now: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<Announcement>> {
        Ok(on_locked!(
            self,
            [
                "SELECT announcement_id, topic, payload, created_at, next_send_at
                 FROM announcements WHERE next_send_at <= $1
                 ORDER BY next_send_at, announcement_id LIMIT $2"
            ],
            "FOR UPDATE SKIP LOCKED",
            |sql, conn| sqlx::query_as::<_, AnnouncementRow>(sql)
                .bind(now)
                .bind(limit)
                .fetch_all(conn)
                .await
        )?
        .into_iter()
        .map(Announcement::from)
        .collect())
    }

    /// Puts off an announcement, unless another one has taken its place.
    pub async fn postpone_announcement(
        &mut self,
        announcement: &Announcement,
        until: DateTime<Utc>,
    ) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "UPDATE announcements SET next_send_at = $3
             WHERE announcement_id = $1 AND payload = $2",
        )
        .bind(announcement.announcement_id)
        .bind(&announcement.payload)
        .bind(until)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Takes an announcement out of the outbox, unless another one has taken its place.
    pub async fn delete_announcement(&mut self, announcement: &Announcement) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "DELETE FROM announcements WHERE announcement_id = $1 AND payload = $2",
        )
        .bind(announcement.announcement_id)
        .bind(&announcement.payload)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Takes the announcement with this id out of the outbox, whatever it says.
    pub async fn withdraw_announcement(&mut self, announcement_id: Uuid) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "DELETE FROM announcements WHERE announcement_id = $1"
        )
        .bind(announcement_id)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Deletes alerts, which are what is not on `available`, that wait since before `before`; how
    /// many.
    pub async fn delete_old_alerts(
        &mut self,
        available: &str,
        before: DateTime<Utc>,
    ) -> Result<u64> {
        Ok(on!(self, |conn| sqlx::query(
            "DELETE FROM announcements WHERE topic <> $1 AND created_at < $2",
        )
        .bind(available)
        .bind(before)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?)
    }

    /// How many announcements wait in the outbox.
    pub async fn count_announcements(&mut self) -> Result<i64> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, i64>(
            "SELECT COUNT(*) FROM announcements"
        )
        .fetch_one(conn)
        .await)?)
    }

    /// Says when a device type's newest release is announced next.
    pub async fn set_release_announcement(
        &mut self,
        device_type: &str,
        next_at: DateTime<Utc>,
    ) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "INSERT INTO release_announcements (device_type, next_at) VALUES ($1, $2)
             ON CONFLICT (device_type) DO UPDATE SET next_at = excluded.next_at",
        )
        .bind(device_type)
        .bind(next_at)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// The device types, and their times, whose time is `now` or over, or is later than `latest`.
    /// Locked for this transaction; those that another server holds are passed over.
    pub async fn lock_due_release_announcements(
        &mut self,
        now: DateTime<Utc>,
        latest: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<(String, DateTime<Utc>)>> {
        Ok(on_locked!(
            self,
            ["SELECT device_type, next_at FROM release_announcements
                 WHERE next_at <= $1 OR next_at > $2 ORDER BY next_at, device_type LIMIT $3"],
            "FOR UPDATE SKIP LOCKED",
            |sql, conn| sqlx::query_as::<_, (String, DateTime<Utc>)>(sql)
                .bind(now)
                .bind(latest)
                .bind(limit)
                .fetch_all(conn)
                .await
        )?)
    }

    pub async fn delete_release_announcement(&mut self, device_type: &str) -> Result<()> {
        on!(self, |conn| sqlx::query(
            "DELETE FROM release_announcements WHERE device_type = $1"
        )
        .bind(device_type)
        .execute(conn)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Device types that have releases, and no time at which they are announced.
    pub async fn unannounced_device_types(&mut self, limit: i64) -> Result<Vec<String>> {
        Ok(on!(self, |conn| sqlx::query_scalar::<_, String>(
            "SELECT DISTINCT device_type FROM firmwares AS f
             WHERE status = 'released' AND NOT EXISTS (
                 SELECT 1 FROM release_announcements AS a WHERE a.device_type = f.device_type)
             ORDER BY device_type LIMIT $1",
        )
        .bind(limit)
        .fetch_all(conn)
        .await)?)
    }
}
