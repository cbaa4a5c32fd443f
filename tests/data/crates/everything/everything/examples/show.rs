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

fn main() {}
