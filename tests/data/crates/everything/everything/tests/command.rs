fn helper(x: u32) -> u32 {
    if x > 100 {
        return 0;
    }
    x
}

#[test]
fn helps() {
    assert_eq!(helper(1), 1);
}

#[test]
fn greets() {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_everything"))
        .arg("you")
        .output()
        .unwrap();
    assert_eq!(out.stdout, b"hello you\n");
}
