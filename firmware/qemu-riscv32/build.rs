//! Each binary has its place in memory: see the linker scripts.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    for (binary, script) in [
        ("app", "app"),
        ("bootloader", "bootloader"),
        ("core_size", "app"),
    ] {
        println!("cargo:rustc-link-arg-bin={binary}=-T{folder}/{script}.x");
        println!("cargo:rerun-if-changed={script}.x");
    }
}
