pub fn takes(mut count: u32, text: &str) -> Option<u32> {
    count += 1;
    text.parse().ok().map(|n: u32| n + count)
}

fn private() {}

#[cfg(test)]
mod tests {
    pub fn never_shown() {}
}
