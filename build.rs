//! `sqlx::migrate!` embeds the folder at compile time; a new file in it must trigger a build.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
