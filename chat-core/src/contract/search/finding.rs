//! What is found: the laws of words, their parts, their typos and their scripts.

use super::{Index, shelf::Shelf};

/// Words are found whole, by their beginnings, and by inner parts of three characters and more.
pub async fn words_are_found_by_their_parts(index: Index) {
    let shelf = Shelf::with(index, &["Ubuntu installer", "a stub", "unrelated"]).await;
    shelf
        .check(&[
            ("ubuntu", &["Ubuntu installer"]),
            ("UBU", &["Ubuntu installer"]),
            ("u", &["Ubuntu installer", "unrelated"]),
            ("bunt", &["Ubuntu installer"]),
            ("tall", &["Ubuntu installer"]),
            ("tub", &["a stub"]),
            ("ub", &["Ubuntu installer"]),
            ("ll", &[]),
            ("ubu inst", &["Ubuntu installer"]),
            ("ubu stub", &[]),
            ("ubuntuinstaller", &[]),
        ])
        .await;
}

/// Typos are forgiven: one edit of any kind, two in long words, if the first letter is right.
pub async fn typos_are_forgiven(index: Index) {
    let shelf = Shelf::with(index, &["cat", "kernel", "package manager"]).await;
    shelf
        .check(&[
            ("cut", &["cat"]),
            ("ca", &["cat"]),
            ("caat", &["cat"]),
            ("cta", &["cat"]),
            ("bat", &[]),
            ("ct", &[]),
            ("kernle", &["kernel"]),
            ("krenle", &["kernel"]),
            ("kernnel", &["kernel"]),
            ("krnl", &[]),
            ("ekrnel", &[]),
            ("pakcage mangaer", &["package manager"]),
            ("packaeg", &["package manager"]),
            ("pckgae", &["package manager"]),
            ("pckgea", &[]),
        ])
        .await;
}

/// Case, accents, width and the forms of Arabic letters do not matter.
pub async fn spelling_does_not_matter(index: Index) {
    let bodies = [
        "Café CRÈME",
        "Straße",
        "Ｗｉｄｅ １２",
        "أحمد كِتَابٌ",
        "Ёлка",
        "γειά σου κόσμος",
        "Việt Nam",
    ];
    let shelf = Shelf::with(index, &bodies).await;
    shelf
        .check(&[
            ("cafe", &["Café CRÈME"]),
            ("CAFE\u{301} creme", &["Café CRÈME"]),
            ("STRASSE", &["Straße"]),
            ("wide 12", &["Ｗｉｄｅ １２"]),
            ("احمد", &["أحمد كِتَابٌ"]),
            ("كتـــاب", &["أحمد كِتَابٌ"]),
            ("елка", &["Ёлка"]),
            ("ΓΕΙΑ ΚΟΣΜΟΣ", &["γειά σου κόσμος"]),
            ("viet", &["Việt Nam"]),
        ])
        .await;
}

/// Scripts without spaces, emoji and digits are searched like everything else.
pub async fn every_script_is_searched(index: Index) {
    let bodies = [
        "日本語を勉強する",
        "東京タワー",
        "한국어 공부",
        "สวัสดีครับ",
        "deploy 🚀 done 👍🏽",
        "👩\u{200D}🚀",
        "शब्द हिन्दी",
        "room 101",
    ];
    let shelf = Shelf::with(index, &bodies).await;
    shelf
        .check(&[
            ("日本語", &["日本語を勉強する"]),
            ("勉強", &["日本語を勉強する"]),
            ("語", &["日本語を勉強する"]),
            ("日語", &[]),
            ("タワー", &["東京タワー"]),
            ("한국", &["한국어 공부"]),
            ("ครับ", &["สวัสดีครับ"]),
            ("🚀", &["deploy 🚀 done 👍🏽"]),
            ("👍", &["deploy 🚀 done 👍🏽"]),
            ("👩\u{200D}🚀", &["👩\u{200D}🚀"]),
            ("हिन्दी", &["शब्द हिन्दी"]),
            ("101", &["room 101"]),
            ("10", &["room 101"]),
        ])
        .await;
}

/// Addresses, paths, code and nicknames are found by their parts.
pub async fn addresses_and_code_are_found(index: Index) {
    let bodies = [
        "see https://help.example.org/wiki/Raid?x=1",
        "edit /etc/apt/sources.list",
        "let total_sum = items.iter().sum::<u64>();",
        "<ann42> @bob_: #rust",
        "don't",
    ];
    let shelf = Shelf::with(index, &bodies).await;
    shelf
        .check(&[
            ("https://help.example.org/wiki", &[bodies[0]]),
            ("example wiki", &[bodies[0]]),
            ("/etc/apt", &[bodies[1]]),
            ("sources.list", &[bodies[1]]),
            ("total_sum", &[bodies[2]]),
            ("iter()", &[bodies[2]]),
            ("ann42:", &[bodies[3]]),
            ("bob", &[bodies[3]]),
            ("don't", &[bodies[4]]),
        ])
        .await;
}

/// A query is taken as words, never as syntax.
pub async fn no_text_is_an_operator(index: Index) {
    let shelf = Shelf::with(index, &["alpha beta", "beta", "NOT alpha OR gamma"]).await;
    shelf
        .check(&[
            ("alpha AND beta", &[]),
            ("NOT alpha", &["NOT alpha OR gamma"]),
            ("alpha OR gamma", &["NOT alpha OR gamma"]),
            ("\"alpha beta\"", &["alpha beta"]),
            ("-beta", &["alpha beta", "beta"]),
            ("+beta^5~2", &[]),
            ("bet*", &["alpha beta", "beta"]),
            ("b?ta", &[]),
            ("/be[xyz]a/", &[]),
            ("body:beta", &[]),
            ("[a TO z]", &[]),
            ("(alpha", &["alpha beta", "NOT alpha OR gamma"]),
            ("beta\\", &["alpha beta", "beta"]),
            ("' OR 1=1 --", &[]),
            ("{\"match_all\": {}}", &[]),
        ])
        .await;
    let long = "alpha ".repeat(170);
    assert_eq!(shelf.find(&long).await.len(), 2);
    let many: Vec<String> = (0..170).map(|n| format!("w{n}")).collect();
    assert!(shelf.find(&many.join(" ")).await.is_empty());
    assert!(shelf.find(&"a".repeat(1_024)).await.is_empty());
}
