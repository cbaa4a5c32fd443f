#[test]
fn far() {
    assert_eq!(sample::far(), 1);
}
