//! What a transaction has done so far.
