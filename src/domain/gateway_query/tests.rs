use super::*;
use chrono::DateTime;

fn gateway() -> Gateway {
    Gateway {
        current_version: Some("1.0.2+b7".into()),
        online: true,
        tags: Tags::from([
            ("site".into(), "north lab".into()),
            ("a/b".into(), String::new()),
            ("odd".into(), r#"say "hi" \o/ =1"#.into()),
        ]),
        ..Gateway::new("HQ2026TEST001", "esp32", DateTime::UNIX_EPOCH)
    }
}

fn matches(filter: &str) -> bool {
    let query = GatewayQuery::parse(filter).unwrap_or_else(|why| panic!("{filter}: {why}"));
    query.matches(&gateway())
}

#[test]
fn each_term_asks_what_it_says() {
    for holds in [
        "",
        "  \t",
        r#"tag:site="north lab""#,
        "tag:site",
        r#"tag:a/b="""#,
        r#"tag:odd="say \"hi\" \\o/ =1""#,
        "version<1.0.3",
        "version<=1.0.2",
        "version=1.0.2",
        "version=1.0.2+other",
        "version!=1.0.3",
        "version>=1.0.2",
        "version>1.0.2-rc.1",
        "online:true",
        "type:esp32",
        "id:HQ2026TEST001",
        "id:HQ*",
        "  online:true\ttype:esp32  ",
    ] {
        assert!(matches(holds), "{holds}");
    }
    for fails in [
        "tag:site=north",
        "tag:rack",
        "tag:a/b=x",
        "version<1.0.2",
        "version>1.0.2",
        "version!=1.0.2",
        "version:unknown",
        "online:false",
        "type:gateway",
        "id:HQ2026TEST00",
        "id:hq*",
        "online:true type:gateway",
    ] {
        assert!(!matches(fails), "{fails}");
    }
}

#[test]
fn a_version_that_is_unknown_has_no_order() {
    for version in [None, Some("v1".to_owned())] {
        let gateway = Gateway {
            current_version: version,
            ..gateway()
        };
        let matches = |filter| GatewayQuery::parse(filter).unwrap().matches(&gateway);
        assert!(matches("version:unknown"));
        for filter in ["version<9.0.0", "version>0.0.0", "version!=1.0.0"] {
            assert!(!matches(filter), "{filter}");
        }
    }
}

#[test]
fn every_refusal_names_the_term_and_shows_a_right_one() {
    for (filter, named, shown) in [
        ("online:yes", "`online:yes`", "online:true"),
        ("online", "`online`", "online:true"),
        ("site=lab", "`site=lab`", "tag:site=lab"),
        ("tag:", "`tag:`", "tag:site=lab"),
        ("tag:a,b=1", "`tag:a,b=1`", "tag:site=lab"),
        ("tag:site=", "`tag:site=`", r#"tag:site="""#),
        (r#"tag:site="a"b"#, r#"`tag:site="a"b`"#, r#"="north lab""#),
        (r#"tag:site=a"b""#, r#"`tag:site=a"b"`"#, r#"="north lab""#),
        (r#"tag:a="\n""#, r#"`tag:a="\n"`"#, r#"="north lab""#),
        (r#"tag:site="a b"#, r#"`tag:site="a b`"#, r#"="north lab""#),
        ("version < 1.0.2", "`version`", "version<1.0.2"),
        ("version:1.0.2", "`version:1.0.2`", "version<1.0.2"),
        ("version==1.0.2", "`version==1.0.2`", "version<1.0.2"),
        ("version<1.0", "`version<1.0`", "version<1.0.2"),
        ("type:", "`type:`", "type:esp32"),
        ("type:a/b", "`type:a/b`", "type:esp32"),
        ("id:", "`id:`", "id:HQ2026*"),
        ("id:*", "`id:*`", "id:HQ2026*"),
        ("id:a*b", "`id:a*b`", "id:HQ2026*"),
        ("online:true or type:a", "`or`", "tag:site=lab"),
        ("ümlaut", "`ümlaut`", "tag:site=lab"),
    ] {
        let refusal = GatewayQuery::parse(filter).unwrap_err();
        assert!(refusal.contains(named), "{filter}: {refusal}");
        assert!(refusal.contains(shown), "{filter}: {refusal}");
    }
    let long = format!("tag:a={}", "x".repeat(129));
    assert!(
        GatewayQuery::parse(&long)
            .unwrap_err()
            .contains("128 characters")
    );
}

#[test]
fn a_filter_is_of_bounded_size() {
    assert!(GatewayQuery::parse(&"tag:a ".repeat(16)).is_ok());
    let refusal = GatewayQuery::parse(&"tag:a ".repeat(17)).unwrap_err();
    assert!(refusal.contains("17 terms"), "{refusal}");
    assert!(GatewayQuery::parse(&" ".repeat(1024)).is_ok());
    let refusal = GatewayQuery::parse(&" ".repeat(1025)).unwrap_err();
    assert!(refusal.contains("1025 bytes"), "{refusal}");
}

#[test]
fn a_target_is_put_together_from_parts() {
    let tags = Tags::from([("site".into(), "north lab".into())]);
    let query = GatewayQuery::tags(&tags)
        .unwrap()
        .and(GatewayQuery::version("<1.0.3").unwrap())
        .and(GatewayQuery::ids(["HQ2026TEST001".into(), "b".into()]))
        .and(GatewayTerm::Online(true));
    assert!(query.matches(&gateway()));
    assert!(!query.clone().and(GatewayQuery::ids([])).matches(&gateway()));
    assert_eq!(
        GatewayQuery::version("1.0.2"),
        GatewayQuery::version("=1.0.2")
    );
    assert_eq!(
        GatewayQuery::version("unknown").unwrap().terms,
        [GatewayTerm::VersionUnknown]
    );
    for bad in ["", "1.0", "< 1.0.2", "latest"] {
        let refusal = GatewayQuery::version(bad).unwrap_err();
        assert!(refusal.contains("<1.0.2"), "{refusal}");
    }
    let bad = Tags::from([("a b".into(), String::new())]);
    assert!(GatewayQuery::tags(&bad).is_err());
}

#[test]
fn the_first_term_that_does_not_hold_is_named_with_what_the_gateway_has() {
    for (filter, has) in [
        ("tag:rack", "it has no tag rack"),
        ("tag:rack=7", "it has no tag rack"),
        ("tag:site=north", "its tag site is \"north lab\""),
        ("tag:a/b=\"a b\"", "its tag a/b is \"\""),
        ("version<1.0.2", "it runs 1.0.2+b7"),
        ("version>=1.1.0-rc.1.x", "it runs 1.0.2+b7"),
        ("version:unknown", "it runs 1.0.2+b7"),
        ("online:false", "it is online"),
        ("type:gateway", "its device type is esp32"),
        ("id:HQ2026TEST00", "its id is HQ2026TEST001"),
        ("id:hq*", "its id is HQ2026TEST001"),
    ] {
        let query = GatewayQuery::parse(&format!("online:true tag:site {filter} id:no")).unwrap();
        let (term, has) = (filter.to_owned(), has.to_owned());
        assert_eq!(query.first_miss(&gateway()), Some(Miss { term, has }));
    }
    let other = GatewayQuery::ids(["a".into(), "b".into()]);
    let miss = other.first_miss(&gateway()).unwrap();
    assert_eq!(miss.term, "one of 2 gatewayIds");
    assert_eq!(GatewayQuery::default().first_miss(&gateway()), None);
    let silent = Gateway::new("g", "esp32", DateTime::UNIX_EPOCH);
    let of_silent = |filter| {
        let miss = GatewayQuery::parse(filter).unwrap().first_miss(&silent);
        miss.unwrap().has
    };
    assert_eq!(of_silent("version<2.0.0"), "it never said its version");
    assert_eq!(of_silent("online:true"), "it is offline");
}

proptest::proptest! {
    #[test]
    fn a_terms_text_is_read_back_as_the_term(value in "[^\\p{C}]{0,40}") {
        let term = GatewayTerm::Tag("k".into(), value);
        let query = GatewayQuery::parse(&term.to_string()).unwrap();
        proptest::prop_assert_eq!(&query.terms, &[term]);
    }

    #[test]
    fn no_filter_makes_the_parser_fail(filter in "(tag:|version|id:|type:|[\"\\\\ =<>*a-z0-9.]){0,20}") {
        let _ = GatewayQuery::parse(&filter);
    }

    #[test]
    fn any_tag_value_can_be_asked_for(value in "[^\\p{C}]{0,40}") {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        let query = GatewayQuery::parse(&format!("online:true tag:k=\"{escaped}\" tag:z")).unwrap();
        proptest::prop_assert_eq!(&query.terms[1], &GatewayTerm::Tag("k".into(), value));
    }
}
