//! Prints where esptool is, for `test.sh`: the tests judge images with the same one.

fn main() -> anyhow::Result<()> {
    let python = airlift_testkit::python_with("esptool", airlift_testkit::ESPTOOL_VERSION)?;
    println!("{}", python.with_file_name("esptool").display());
    Ok(())
}
