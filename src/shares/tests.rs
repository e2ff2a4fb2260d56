use proptest::prelude::*;

use super::*;

fn pool(limit: usize) -> Pool {
    Pool::new(Resource::Requests, &UseGauge::default(), limit)
}

fn caller(shares: &Shares, subject: &str, tenants: &[&str]) -> Holder {
    shares.of_tenants("issuer", Some(subject), tenants.iter().copied())
}

/// Takes as many units as possible.
fn take_all(pool: &Pool, holder: &Holder) -> Vec<Claim> {
    std::iter::from_fn(|| pool.take_one(holder).ok()).collect()
}

fn refused_by(pool: &Pool, holder: &Holder) -> ExceededShare {
    pool.take_one(holder).unwrap_err().by
}

#[test]
fn lone_subject_gets_most_of_a_pool_and_never_all() {
    let (pool, shares) = (pool(1000), Shares::default());
    let one = caller(&shares, "one", &["a"]);
    let taken = take_all(&pool, &one);
    assert_eq!(taken.len(), 692, "9/13");
    assert_eq!(refused_by(&pool, &one), ExceededShare::Subject);
    drop(taken);
    assert_eq!(pool.used(), 0);
}

#[test]
fn tenant_of_many_subjects_gets_three_quarters_at_most() {
    let (pool, shares) = (pool(1000), Shares::default());
    let mut taken = Vec::new();
    for subject in 0..1000 {
        let subject = caller(&shares, &subject.to_string(), &["a"]);
        taken.extend(take_all(&pool, &subject));
    }
    assert_eq!(taken.len(), 750);
    let next = caller(&shares, "next", &["a"]);
    assert_eq!(
        refused_by(&pool, &next),
        ExceededShare::Group(Group::Tenants)
    );
    let other = caller(&shares, "next", &["b"]);
    assert!(take_all(&pool, &other).len() > 100);
}

#[test]
fn next_subject_of_a_busy_tenant_finds_something_left() {
    let (pool, shares) = (pool(1000), Shares::default());
    let _hog = take_all(&pool, &caller(&shares, "hog", &["a"]));
    let next = take_all(&pool, &caller(&shares, "next", &["a"]));
    assert!(next.len() > 50, "{}", next.len());
}

#[test]
fn busy_tenants_end_up_with_the_same() {
    let (pool, shares) = (pool(1000), Shares::default());
    let (a, b) = (caller(&shares, "s", &["a"]), caller(&shares, "s", &["b"]));
    let (mut of_a, mut of_b) = (take_all(&pool, &a), Vec::new());
    // Requests of `a` end, and both compete for what is free.
    for _ in 0..2000 {
        of_a.pop();
        of_b.extend(pool.take_one(&b).ok());
        of_a.extend(pool.take_one(&a).ok());
    }
    let (few, many) = (of_b.len().min(of_a.len()), of_b.len().max(of_a.len()));
    assert!(few * 10 >= many * 9, "{} and {}", of_a.len(), of_b.len());
    assert!(few > 350, "{few}");
}

#[test]
fn caller_with_several_tenants_counts_for_each() {
    let (pool, shares) = (pool(1000), Shares::default());
    let both = caller(&shares, "s", &["a", "b"]);
    let taken = take_all(&pool, &both);
    assert_eq!(taken.len(), 692);
    for tenant in ["a", "b"] {
        let own = caller(&shares, "t", &[tenant]);
        assert!(take_all(&pool, &own).len() < 100, "{tenant} has less left");
    }
    assert!(take_all(&pool, &caller(&shares, "t", &["c"])).len() > 150);
}

#[test]
fn refused_claim_is_not_counted() {
    let (pool, shares) = (pool(100), Shares::default());
    let _of_b = take_all(&pool, &caller(&shares, "s", &["b"]));
    let all_three = caller(&shares, "t", &["a", "b", "c"]);
    let _of_all = take_all(&pool, &all_three);
    let before = pool.used();
    for _ in 0..1000 {
        assert!(pool.take_one(&all_three).is_err());
    }
    assert_eq!(pool.used(), before);
    assert!(take_all(&pool, &caller(&shares, "u", &["a"])).len() > 5);
}

#[test]
fn subjects_of_the_same_name_in_other_tenants_have_nothing_in_common() {
    let (pool, shares) = (pool(1000), Shares::default());
    let _hog = take_all(&pool, &caller(&shares, "grafana", &["a"]));
    let unnamed = |tenant| shares.of_tenants("issuer", None, std::iter::once(tenant));
    let _unnamed = take_all(&pool, &unnamed("a"));
    assert!(take_all(&pool, &caller(&shares, "grafana", &["b"])).len() > 100);
    assert!(take_all(&pool, &unnamed("c")).len() > 20);
}

#[test]
fn callers_without_a_token_get_half() {
    let (pool, shares) = (pool(10), Shares::default());
    let taken = take_all(&pool, shares.anonymous());
    assert_eq!(taken.len(), 5);
    assert_eq!(
        refused_by(&pool, shares.anonymous()),
        ExceededShare::Group(Group::Anonymous)
    );
}

#[test]
fn callers_with_all_tenants_and_with_none_have_shares_of_their_own() {
    let (pool, shares) = (pool(1000), Shares::default());
    let mut all = Vec::new();
    for subject in 0..100 {
        let subject = subject.to_string();
        all.extend(take_all(&pool, &shares.of_all_tenants("i", Some(&subject))));
    }
    assert!(all.len() <= 750);
    assert!(!take_all(&pool, &shares.of_no_tenants("i", None)).is_empty());
    assert!(!take_all(&pool, &caller(&shares, "s", &["a"])).is_empty());
}

#[test]
fn first_unit_is_granted_while_one_is_free() {
    for limit in 1..5 {
        let (pool, shares) = (pool(limit), Shares::default());
        let mut taken = Vec::new();
        for tenant in ["a", "b", "c", "d", "e"] {
            taken.extend(pool.take_one(&caller(&shares, "s", &[tenant])).ok());
        }
        assert_eq!(taken.len(), limit);
        assert_eq!(
            refused_by(&pool, &caller(&shares, "s", &["f"])),
            ExceededShare::Pool
        );
    }
}

#[test]
fn lowered_limit_counts_what_was_taken_under_the_old_one() {
    let used = UseGauge::default();
    let shares = Shares::default();
    let before = Pool::new(Resource::Requests, &used, 1000);
    let taken = take_all(&before, &caller(&shares, "s", &["a"]));
    let after = Pool::new(Resource::Requests, &used, 10);
    assert_eq!(
        refused_by(&after, &caller(&shares, "s", &["b"])),
        ExceededShare::Pool
    );
    drop(taken);
    assert!(after.take_one(&caller(&shares, "s", &["b"])).is_ok());
}

#[test]
fn parties_without_a_holder_are_forgotten() {
    let shares = Shares::default();
    for number in 0..1000 {
        let (subject, tenant) = (number.to_string(), (number % 10).to_string());
        drop(caller(&shares, &subject, &[&tenant, "common"]));
    }
    assert_eq!(shares.known(), 0);
    let pool = pool(10);
    let claim = pool.take_one(&caller(&shares, "s", &["a", "b"])).unwrap();
    assert_eq!(shares.known(), 3, "while something is in use");
    drop(claim);
    assert_eq!(shares.known(), 0);
}

#[test]
fn refusals_name_the_limit_and_whose_share_it_is() {
    let (pool, shares) = (pool(4), Shares::default());
    let one = caller(&shares, "s", &["a"]);
    let _taken = take_all(&pool, &one);
    let text = pool.take_one(&one).unwrap_err();
    assert_eq!(
        text.to_string(),
        "you already have your share, as one of your tenant's callers, of the 4 permits for \
         requests (limits.requests); try again in a moment"
    );
    assert_eq!(text.reason().label(), "requests_share");
}

/// After threads have taken and given back, nothing is left in use; the limit is never exceeded.
#[test]
fn racing_claims_are_exact_in_the_end() {
    let (pool, shares) = (pool(50), Shares::default());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (pool, shares) = (&pool, &shares);
            scope.spawn(move || {
                for round in 0..2000 {
                    let tenant = ["a", "b", "c"][(round + thread) % 3];
                    let holder = caller(shares, &thread.to_string(), &[tenant, "all"]);
                    let taken = take_all(pool, &holder);
                    assert!(pool.used() <= 50);
                    drop(taken);
                }
            });
        }
    });
    assert_eq!(pool.used(), 0);
    assert_eq!(shares.known(), 0);
    let all = take_all(&pool, &caller(&shares, "s", &["all"]));
    assert_eq!(all.len(), 34, "nothing was left counted for it");
}

proptest! {
    /// Whatever others take and give back, they stay within their shares, so a new tenant still gets
    /// something.
    #[test]
    fn new_tenant_gets_something_whatever_others_hold(
        steps in prop::collection::vec((0..6_usize, 0..3_usize, 0..5000_usize), 1..200),
    ) {
        const LIMIT: usize = 100_000;
        let shares = Shares::default();
        let pool = Pool::new(Resource::BufferedBytes, &UseGauge::default(), LIMIT);
        let mut claims: Vec<Claim> = Vec::new();
        for (tenant, subject, bytes) in steps {
            let tenants = [tenant.to_string(), (tenant / 2).to_string()];
            let tenants: Vec<&str> = tenants.iter().map(String::as_str).collect();
            let holder = caller(&shares, &subject.to_string(), &tenants);
            let mut claim = pool.claim(&holder);
            if bytes % 7 == 0 {
                claims.pop();
            } else if claim.resize(bytes).is_ok() {
                claims.push(claim);
            }
        }
        // Six busy tenants leave at least a nineteenth.
        let newcomer = caller(&shares, "s", &["newcomer"]);
        let mut claim = pool.claim(&newcomer);
        prop_assert!(claim.resize(LIMIT / 40).is_ok(), "{} used", pool.used());
        drop(claims);
        drop(claim);
        prop_assert_eq!(pool.used(), 0);
    }
}
