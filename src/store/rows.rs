//! Statements over many rows at once, whose text does not tell how many: the driver prepares them once.
//!
//! The statement finds its rows as `v`. PostgreSQL gets each column as an array; SQLite gets `VALUES`, in pieces of
//! few sizes.

/// Rows of a piece. SQLite takes 32,766 parameters.
const PIECES: [usize; 5] = [256, 64, 16, 4, 1];

/// `rows` cut into as few pieces as [`PIECES`] allow.
pub(super) fn pieces<R>(mut rows: &[R]) -> impl Iterator<Item = &[R]> {
    std::iter::from_fn(move || {
        let size = PIECES.into_iter().find(|size| *size <= rows.len())?;
        let (piece, rest) = rows.split_at(size);
        rows = rest;
        Some(piece)
    })
}

/// Builds the statement with its rows and runs `$body` on it, for each piece where there are several. PostgreSQL
/// gets `$lock` besides.
macro_rules! with_rows {
    (
        $tx:expr, $rows:expr, |$row:pat_param| { $($column:ident: $value:expr),+ $(,)? },
        [$($sql:expr),+] $(, $lock:literal)?, |$query:ident, $conn:ident| $body:expr
    ) => {{
        let rows = $rows;
        let head = concat!("WITH v (", with_rows!(@names $($column)+), ") AS (");
        match &mut $tx.inner {
            $crate::store::db::TxInner::Postgres(transaction) if !rows.is_empty() => {
                let mut $query = sqlx::QueryBuilder::<sqlx::Postgres>::new(head);
                $query.push("SELECT * FROM UNNEST(");
                let mut arrays = $query.separated(", ");
                $(
                    // A column may be the same in all rows.
                    #[allow(unused_variables)]
                    let array: Vec<_> = rows.iter().map(|$row| $value).collect();
                    arrays.push_bind(array);
                )+
                $query.push(concat!(")) ", $($sql),+ $(, " ", $lock)?));
                let $conn = &mut **transaction;
                $body
            }
            $crate::store::db::TxInner::Postgres(_) => {}
            $crate::store::db::TxInner::Sqlite(transaction) => {
                for piece in $crate::store::rows::pieces(rows) {
                    let mut $query = sqlx::QueryBuilder::<sqlx::Sqlite>::new(head);
                    $query.push_values(piece, |mut values, $row| {
                        $(values.push_bind($value);)+
                    });
                    $query.push(concat!(") ", $($sql),+));
                    let $conn = &mut **transaction;
                    $body
                }
            }
        }
    }};
    (@names $first:ident $($more:ident)*) => {
        concat!(stringify!($first) $(, ", ", stringify!($more))*)
    };
}

/// Executes a statement over many rows; how many it affected.
macro_rules! execute_rows {
    ($tx:expr, $rows:expr, |$row:pat_param| $columns:tt, $($sql:expr),+ $(,)?) => {{
        let mut affected = 0;
        with_rows!($tx, $rows, |$row| $columns, [$($sql),+], |query, conn| {
            affected += query.build().execute(conn).await?.rows_affected();
        });
        affected
    }};
}

/// Fetches as `$type` what a statement over many rows gives; PostgreSQL gets `$lock` besides.
macro_rules! fetch_rows {
    (
        $type:ty, $tx:expr, $rows:expr, |$row:pat_param| $columns:tt, [$($sql:expr),+] $(, $lock:literal)? $(,)?
    ) => {{
        let mut fetched: Vec<$type> = Vec::new();
        with_rows!($tx, $rows, |$row| $columns, [$($sql),+] $(, $lock)?, |query, conn| {
            fetched.extend(query.build_query_as::<$type>().fetch_all(conn).await?);
        });
        fetched
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_rows_is_cut_into_few_pieces_of_few_sizes() {
        for count in [0, 1, 3, 255, 256, 257, 1000] {
            let rows: Vec<usize> = (0..count).collect();
            let cut: Vec<&[usize]> = pieces(&rows).collect();
            assert_eq!(cut.concat(), rows);
            assert!(cut.iter().all(|piece| PIECES.contains(&piece.len())));
            assert!(cut.len() <= count / 256 + 3 * 4, "{count}: {}", cut.len());
        }
    }
}
