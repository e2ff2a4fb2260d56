//! Every form that a selector can have. `§` marks where our matchers belong.

use super::*;

/// Confined queries, one a line, with `§` for our matchers and `⏎` for a newline. `§,` is what was
/// inserted after a `{`, and `{§}` what was inserted after a name. `≈` are our matchers without `=`.
const CONFINED: &str = r##"
up{§}
up{§,}
up {§, }
up{§,a="b"}
up{§,a="b",}
up{§,a='b',c!="d",e=~"f.*",g!~"h"}
up{§,tenant_id="other"}
{§,"up"}
{§,"up","a"="b"}
{§,"a"="b"}
{§,'quoted.name',`b`='c'}
{§,__name__="up"}
{§,__name__=~".+"}
a:b:c{§}
:a{§}
_a{§}
Up9{§}
up{§,or="x"}
up{§,or ="x",and="y"}
up{§,by="x",sum="y",inf="z"}
up{§,a="\"}{",b='\'{',c=`{"\`}
up{§,a=`\`} + up{§,b=`\`}
up{§,a="# no comment"}
up{§,a="x\\"} + up{§,b="\\"}

(up{§})
((up{§}))
-up{§}
+ - + up{§}
-(-up{§})
up{§} + up{§}
up{§}+up{§}
up{§}-up{§}
up{§}*up{§}/up{§}%up{§}^up{§}
up{§} == up{§} != up{§} < up{§} > up{§} <= up{§} >= up{§}
up{§} </ 5
up{§} >/ up{§}
up{§}</up{§}>/up{§}
up{§}<-up{§}
up{§} and up{§} or up{§} unless up{§} atan2 up{§}
up{§} AND up{§} Or up{§} UnLess up{§}
up{§} == bool up{§}
up{§} == bool 1
1 == BOOL up{§}
up{§} == bool{§,a="b"}
up{§} + on (a) up{§}
up{§} + on() up{§}
up{§} + on(a,b,) up{§}
up{§} + on(tenant_id) up{§}
up{§} + ignoring(a, "b.c", sum, by) up{§}
up{§} * on(a) group_left up{§}
up{§} * on(a) group_left() up{§}
up{§} * ON(a) GROUP_LEFT(b, c) up{§}
up{§} * on(a) group_right(b) (up{§})
up{§} * ignoring(a) group_right {§,x="y"}
up{§} > bool on(a) group_left(b) up{§}
up{§} * on(a) # comment ( {⏎ group_left # ( {⏎ (b) up{§}
up{§} + fill(0) up{§}
up{§} + fill (-1.5e3) up{§}
up{§} + fill(1e-5) up{§}
up{§} + fill_left(-2.5E+3) fill_right(1_0e-3) up{§}
up{§} + on(a) fill_left(1) fill_right(inf) up{§}
up{§} + bool on(a) group_left(b) fill_right(+NaN) fill_left(5m) up{§}
up{§} + fill # c⏎ ( 1 ) up{§}

sum(up{§})
sum (up{§})
SUM(up{§})
sum by (a) (up{§})
sum by(a)(up{§})
sum by (a, b,) (up{§})
sum by () (up{§})
sum without ("a.b", c:d) (up{§})
sum BY (tenant_id) (up{§})
sum(up{§}) by (a)
sum(up{§}) without (a) + up{§}
sum # c⏎ by # (⏎ (a) # {⏎ (up{§})
count_values("version", up{§})
count_values by (job) ("version", up{§})
topk(5, up{§})
topk(scalar(secret{§}), up{§})
topk by (a) (scalar(secret{§}), up{§})
topk(scalar(secret{§}), up{§}) by (a)
bottomk(scalar(sum(secret{§,a="b"})), up{§})
quantile(scalar(secret{§}) / 1e9, up{§})
limitk(2, up{§})
limit_ratio(-0.5, up{§})
some_new_aggregation by (a) (up{§})

rate(up{§}[5m])
rate(up{§,a="b"}[5m])
rate({§,a="b"}[5m])
up{§}[5m]
up{§}[5m] offset 1h
up{§}[1h30m:5m]
up{§}[5m:] @ 1
rate(up{§}[5m])[30m:1m]
max_over_time(rate(up{§}[5m])[30m:])
sum_over_time((up{§} + up{§})[30m:1m])
up{§}[ 5m # ] comment {⏎ : 1m ]
up{§}[5m#]⏎]
up{§}[2*1h]
up{§}[(5m + step()) * 2 : max_of(1m, STEP())]
up{§}[max(step(), 5m) : min(1m, step())]
up{§}[range()]
up{§}[min_of(1h,range())%7] offset -(5)
up{§}[300]
up{§}[.5e3]
up{§} offset 5m
up{§} OFFSET -5m
up{§} offset -(5m * 2)
up{§} offset step() + up{§}
up{§} offset max_of(5m, step())
up{§} @ 1234.5
up{§} @ -1
up{§} @ start() + up{§}
up{§} @ end() offset 5m
up{§}[5m] @ end()
(up{§}) @ 5 + up{§}
up{§} anchored
up{§}[5m] smoothed + up{§}

sum{§}
sum{§} + sum{§,a="b"}
offset{§} offset 5m
by{§}
by{§} + without{§}
sum(sum{§}) by (sum)
and{§} and and{§}
or{§} or or{§}
unless{§} unless(unless{§})
atan2{§}
bool{§}
on{§} + on{§,}
ignoring{§}
group_left{§} + group_right{§}
a{§} * on(b) group_left by{§}
fill{§} + fill{§}
fill_left{§,a="b"} + fill_right{§}
fill{§} + fill(1) fill{§}
start{§} + end{§} + step{§} + range{§}
anchored{§} anchored
smoothed{§} smoothed
max_of{§} + min_of{§,a="b"}[5m]
info{§}
inf:nan{§} + nano{§} + infx{§}

1
1 + 1
-1e-5
1e5
0x1F
0xffe-up{§}
1e-up{§}
1_000
.5 + 5.
5m + 1h30m
inf + -Inf + NaN + up{§}
"string"
'it\'s'
`raw\`
time()
vector(1)
time ( ) - up{§}
scalar(up{§})
start() + end() + step() + range()
absent(up{≈,a="b"})
absent({≈,a="b"})
absent # (⏎ (up{≈})
absent((up{≈})) + up{§}
absent(sum by (a) (up{≈} + up{≈})) or absent(up{≈}[5m:1m]) or up{§}
absent(up{≈} offset 5m) or up{§} @ end()
absent(absent(up{≈})) + up{§}
absent(up{≈,tenant_id="other",tenant_id!="x"})
absent_over_time(up{≈}[5m]) * on (absent) up{§}
absent_over_time({≈,a="b"}[5m] @ start()) unless sum(up{§})
max_over_time(absent(up{≈})[5m:1m]) - up{§}
topk(scalar(absent(up{≈})), up{§})
absent{§} + absent_over_time{§} + abs(absent{§})
ABSENT(up{§}) + absent_at(up{§}) + present_over_time(up{§}[5m])
absent(vector(1)) + up{§}
label_replace(up{§}, "a", "$1", "b", "(.*)")
label_join(up{§}, "tenant_id", "-", "a", "b")
histogram_quantile(0.9, sum by (le) (rate(up{§}[5m])))
clamp(up{§}, scalar(up{§}), 1)
round(up{§}, 0.1)
pi()

# comment with up{ and "⏎up{§} # another up
up#c⏎{§,a="b"}
up{§,#}⏎a="b"#"⏎,}
up{§}#
info(up{§}, {§,version=~".+"})
info(rate(up{§}[5m]), {§,version="1", __name__="build_info"})
info(up{§}, {§,"version"!="",})
info(up{§}, {§,version=~"1.*"})
info(up{§}, {§,version!~"(1.*)?"})
info ( info(up{§}, {§,a="b"}) , {§,a=~"b|c"} ) + up{§}
sum by (version) (info(up{§}, {§,version=~".+"}))
sum by (instance) (rate(node_cpu_seconds_total{§,mode!="idle",job=~"node|kubelet"}[5m])) / on (instance) group_left (nodename) count by (instance, nodename) (node_uname_info{§} * 0 + 1) > bool 0.5
"##;

#[test]
fn every_selector_is_confined_and_nothing_else_is_touched() {
    let mut cases = 0;
    for line in CONFINED.lines().filter(|line| !line.is_empty()) {
        let line = line.replace('⏎', "\n");
        let query = line.replace('≈', "§").replace("§,", "").replace("{§}", "");
        let expected = line
            .replace('§', acme().promql())
            .replace('≈', acme().promql_without_equality());
        match confined(&query) {
            Ok(confined) => {
                assert_eq!(confined.text(), expected);
                assert_eq!(
                    confined.selectors(),
                    line.matches(['§', '≈']).count(),
                    "{query}"
                );
            }
            Err(refusal) => panic!("{query}: {refusal}"),
        }
        cases += 1;
    }
    assert!(cases > 150);
}
