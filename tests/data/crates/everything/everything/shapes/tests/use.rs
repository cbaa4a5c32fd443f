#[test]
fn three() {
    assert_eq!(shapes::number!(three), 3);
}
