macro_rules! numbered {
    ($name:ident) => {
        pub struct $name(u64);
    };
}

numbered!(Found);

/// Made by nobody.
pub const LIMIT: usize = 1 << 4;

fn private() {}

pub struct Passed;

impl Passed {
    pub const fn on<const N: usize>(self: Box<Self>) -> [u8; N] {
        [0; N]
    }
}
