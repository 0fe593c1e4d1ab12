//! placeholder
/// x
#[derive(Debug)]
pub struct Lane;
/// x
#[derive(Debug)]
pub enum Step {}
/// x
#[derive(Debug)]
pub enum Verdict {}
