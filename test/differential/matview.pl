#!/usr/bin/perl
# Differential test of incremental refreshes: random schemas, views from a grammar, random changes.
# After each refresh the matview must equal its query: dbopt.matview_verify() = 0.
#   matview.pl [--cases N] [--seed N] [--seconds N]     connects as libpq's environment says
# A case is one refresh of one view after one batch of changes. The seed is printed; a failure prints
# everything that is needed to repeat it.
use strict;
use warnings;
use Getopt::Long;
use IPC::Open2;

my ($cases, $seed, $seconds, $psql) = (300, time() ^ $$, 0, 'psql');
GetOptions('cases=i' => \$cases, 'seed=i' => \$seed, 'seconds=i' => \$seconds, 'psql=s' => \$psql) or exit 2;
srand($seed);
print "# seed $seed\n";
my $start = time();

my $pid = open2(my $out, my $in, "$psql -X -q -A -t -v ON_ERROR_STOP=0 -d postgres 2>&1");
my $marker = 0;
sub sql {
    my ($text) = @_;
    ++$marker;
    print $in "$text;\n\\echo =done$marker\n";
    my @lines;
    while (defined(my $l = <$out>)) {
        chomp $l;
        last if $l eq "=done$marker";
        push @lines, $l;
    }
    return @lines;
}
sub pick { return $_[ int(rand(@_)) ] }
sub maybe { my ($p) = @_; return rand() < $p }

# a(k, g, x, n, s, d) and b(k, a_k, g, y, t), c(k, name): small domains, so that keys meet and part.
my @value = (
    sub { maybe(0.15) ? 'NULL' : int(rand(12)) },
    sub { maybe(0.15) ? 'NULL' : sprintf('%.2f', rand(20) - 10) },
    sub { maybe(0.15) ? 'NULL' : "'" . pick(qw(A B C done open)) . "'" },
    sub { maybe(0.2) ? 'NULL' : pick('true', 'false') },
);
my %tables = (
    p => [ [ g => 0 ], [ x => 0 ], [ s => 2 ] ],
    a => [ [ g => 0 ], [ x => 0 ], [ n => 1 ], [ s => 2 ], [ f => 3 ] ],
    b => [ [ a_k => 0 ], [ c_k => 0 ], [ y => 0 ], [ m => 1 ], [ t => 2 ] ],
    c => [ [ name => 2 ], [ z => 0 ] ],
);
my $parts;
# A partition comes, by CREATE or ATTACH, empty or not, or the last one goes again.
sub partition {
    my $n = ++$parts;
    my ($name, $from) = ("p_new$n", 100000 * $n);
    my $bound = "FOR VALUES FROM ($from) TO (" . ($from + 100000) . ')';
    my $how = rand();
    return sql("DROP TABLE IF EXISTS p_new" . ($n - 1)) if $how < 0.15;
    return sql("ALTER TABLE p DETACH PARTITION p_new" . ($n - 1)) if $how < 0.2;
    if ($how < 0.6) { sql("CREATE TABLE $name PARTITION OF p $bound") }
    else {
        sql("CREATE TABLE $name (x int, s text, g int, k int NOT NULL)");
        sql("INSERT INTO $name VALUES (3, 'A', 4, $from + 7)") if $how > 0.8;
        sql("DELETE FROM $name") if $how > 0.9;
        sql("ALTER TABLE p ATTACH PARTITION $name $bound");
    }
    sql("INSERT INTO p (k, g, x, s) SELECT $from + i, i, 12 - i, 'B' FROM generate_series(1, 5) i") if maybe(0.8);
    sql("UPDATE p SET k = $from + 1000 + k WHERE k < 30 AND g = " . int(rand(12))) if maybe(0.3);
}
sub schema {
    sql('DROP SCHEMA IF EXISTS dt CASCADE; CREATE SCHEMA dt; SET search_path = dt, public');
    sql('CREATE TABLE a (k serial PRIMARY KEY, g int, x int, n numeric(8,2), s text, f boolean)');
    sql('CREATE TABLE b (k serial PRIMARY KEY, a_k int, c_k int, y int, m numeric, t text)');
    sql('CREATE TABLE c (k serial PRIMARY KEY, name text, z int)');
    # p is partitioned by its key; its partitions number their columns differently.
    sql('CREATE TABLE p (k serial, g int, x int, s text) PARTITION BY RANGE (k)');
    sql('CREATE TABLE p_1 (s text, x int, gone int, k int NOT NULL, g int); ALTER TABLE p_1 DROP COLUMN gone');
    sql('ALTER TABLE p ATTACH PARTITION p_1 FOR VALUES FROM (1) TO (30)');
    sql('CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM (30) TO (100000)');
    $parts = 0;
    sql('CREATE INDEX ON b (a_k)') if maybe(0.5);
    sql("CREATE VIEW va AS SELECT a.k, a.g, a.x, a.n, a.s, a.f, c.name FROM a LEFT JOIN c ON c.k = a.g");
    sql("CREATE VIEW vb AS SELECT a_k, count(*) AS k, sum(y) AS y, max(m) AS m, min(t) AS t FROM b GROUP BY a_k");
    insert($_, 25) for sort keys %tables;
}
sub insert {
    my ($t, $rows) = @_;
    my @c = @{ $tables{$t} };
    my @r = map { '(' . join(',', map { $value[ $_->[1] ]->() } @c) . ')' } 1 .. $rows;
    sql("INSERT INTO $t (" . join(',', map { $_->[0] } @c) . ') VALUES ' . join(',', @r));
}
sub change {
    my $t = pick(sort keys %tables);
    my @c = @{ $tables{$t} };
    my $what = rand();
    return partition() if $t eq 'p' && maybe(0.12);
    if ($t eq 'p' && maybe(0.3)) {
        return sql("INSERT INTO p_1 (k, g, x) VALUES (1 + (random() * 28)::int, 1, 2)") if maybe(0.3);
        return sql("UPDATE p SET k = (k + 20) % 60 + 1 WHERE g = " . int(rand(12))) if maybe(0.5);
        return sql("DELETE FROM p_2 WHERE x = " . int(rand(12)));
    }
    if ($what < 0.4) { insert($t, 1 + int(rand(4))) }
    elsif ($what < 0.7) {
        my $c = pick(@c);
        sql("UPDATE $t SET $c->[0] = " . $value[ $c->[1] ]->() . ' WHERE ' . where($t));
    }
    elsif ($what < 0.95) { sql("DELETE FROM $t WHERE " . where($t)) }
    elsif ($what < 0.97) { sql("UPDATE $t SET k = k + 1000 WHERE k % 7 = " . int(rand(7)) . ' AND k < 1000') }
    elsif ($what < 0.98) { sql("TRUNCATE $t"); insert($t, 5) }
    elsif ($t ne 'p') { sql("INSERT INTO $t SELECT * FROM $t ON CONFLICT (k) DO UPDATE SET k = excluded.k") }
}
sub where {
    my ($t) = @_;
    my $c = pick(@{ $tables{$t} });
    return pick("k % 9 = " . int(rand(9)), "$c->[0] IS NULL AND k % 2 = 0",
        "$c->[0] = " . ($c->[1] == 3 ? 'true' : $value[ $c->[1] ]->()), 'k % 23 = ' . int(rand(23)));
}
sub batch {
    for (1 .. 1 + int(rand(4))) {
        my $how = rand();
        if ($how < 0.75) { change() }
        elsif ($how < 0.85) { sql('BEGIN'); change(); sql('ROLLBACK') }
        else { sql('BEGIN'); change(); sql('SAVEPOINT s'); change(); sql('ROLLBACK TO s'); change(); sql('COMMIT') }
    }
}

sub view {
    my @from = (
        [ 'a', [qw(a)] ],
        [ 'a JOIN b ON b.a_k = a.g', [qw(a b)] ],
        [ 'a LEFT JOIN b ON b.a_k = a.g', [qw(a b)] ],
        [ "a LEFT JOIN b ON b.a_k = a.g AND b.t = 'A'", [qw(a b)] ],
        [ 'a LEFT JOIN b ON a.x = b.y AND a.x > 2', [qw(a b)] ],
        [ 'b RIGHT JOIN a ON b.a_k = a.k', [qw(a b)] ],
        [ 'a LEFT JOIN b ON b.a_k = a.g LEFT JOIN c ON c.z = b.c_k', [qw(a b c)] ],
        [ 'a JOIN b ON b.a_k = a.g LEFT JOIN c ON c.k = b.c_k', [qw(a b c)] ],
        [ 'a LEFT JOIN (b JOIN c ON c.z = b.c_k) ON b.a_k = a.g', [qw(a b c)] ],
        [ 'a, b, c WHERE a.g = b.a_k AND b.c_k = c.z', [qw(a b c)] ],
        [ 'a LEFT JOIN a b2 ON b2.x = a.g', [qw(a)] ],
        [ 'a JOIN a a2 ON a2.g = a.x', [qw(a)] ],
    );
    push @from, (
        [ 'va a', [qw(a)] ],
        [ 'a LEFT JOIN vb b ON b.a_k = a.g', [qw(a b)] ],
        [ 'va a JOIN vb b ON b.a_k = a.x', [qw(a b)] ],
        [ 'a FULL JOIN b ON b.a_k = a.g', [qw(a b)] ],
        [ 'a FULL JOIN c ON c.z = a.x AND a.g > 3 LEFT JOIN b ON b.c_k = c.k', [qw(a b c)] ],
        [ '(SELECT k, g, x + 1 AS x, n, s, f FROM a WHERE x < 9) a JOIN b ON b.a_k = a.g', [qw(a b)] ],
        [ "a LEFT JOIN (SELECT y AS k, coalesce(t, 'none') AS t, a_k, y, m FROM b WHERE y > 1) b ON b.a_k = a.g", [qw(a b)] ],
        [ '(SELECT g AS k, g, count(x)::int AS x, sum(n) AS n, min(s) AS s, bool_or(f) AS f FROM a GROUP BY g) a', [qw(a)] ],
        [ 'a LEFT JOIN (SELECT DISTINCT a_k, y, y AS k, m, t FROM b) b ON b.y = a.x', [qw(a b)] ],
        [ '(SELECT k, g, x, NULL::numeric AS n, s, x > 3 AS f FROM p) a JOIN b ON b.a_k = a.g', [qw(a b)] ],
        [ '(SELECT k, g, x, n, s, f FROM a UNION ALL SELECT k, g, x, 1, s, true FROM p) a', [qw(a)] ],
        [ '(SELECT k, g, x, n, s, f FROM a UNION SELECT k, a_k, y, m, t, false FROM b) a', [qw(a)] ],
        [ '(SELECT g AS k, g, x, n, s, f FROM a EXCEPT ALL SELECT z, z, k, NULL, name, NULL FROM c) a LEFT JOIN b ON b.y = a.x', [qw(a b)] ],
        [ 'a LEFT JOIN b ON b.a_k = a.g WHERE EXISTS (SELECT FROM c WHERE c.z = a.x)', [qw(a b)] ],
        [ "a LEFT JOIN b ON b.a_k = a.g WHERE NOT EXISTS (SELECT FROM p WHERE p.g = a.g AND p.x > a.x)", [qw(a b)] ],
        [ 'a JOIN b ON b.a_k = a.g WHERE b.y IN (SELECT z FROM c) AND NOT EXISTS (SELECT FROM p WHERE p.x = b.y AND p.s = a.s)', [qw(a b)] ],
        [ 'a WHERE a.g IN (SELECT a_k FROM b GROUP BY a_k HAVING count(*) > 2)', [qw(a)] ],
    ) if maybe(0.9);
    my $f = pick(@from);
    my ($from, @in) = ($f->[0], @{ $f->[1] });
    my %in = map { $_ => 1 } @in;
    my @plain = ('a.g', 'a.x', 'a.s', 'a.n', 'a.f', 'a.k');
    push @plain, qw(b.y b.t b.k b.m) if $in{b};
    push @plain, qw(c.name c.z) if $in{c};
    my $cond = pick('a.x > 3', "a.s = 'A'", 'a.n < 5', $in{b} ? ('b.y IS NOT NULL', 'b.y > 2 OR b.y IS NULL') : ());
    $from .= ($from =~ /WHERE/ ? ' AND ' : ' WHERE ') . "($cond)" if maybe(0.3);
    my $kind = rand();
    my $n = 0;
    if (maybe(0.1)) {
        my ($x, $y) = (pick(@plain), pick(@plain));
        return "SELECT a.k AS c1, $x AS c2, " . pick("rank() OVER (PARTITION BY $x ORDER BY $y)",
            "count($y) OVER (PARTITION BY $x)", "sum(a.n) OVER (PARTITION BY $x, a.g)",
            "max($y) OVER (PARTITION BY $x ORDER BY a.k)") . " AS c3 FROM $from";
    }
    if ($kind < 0.25) {
        return 'SELECT ' . join(', ', map { "$_ AS c" . ++$n } map { pick(@plain) } 1 .. 1 + int(rand(4))) . " FROM $from";
    }
    if ($kind < 0.35) {
        return 'SELECT DISTINCT ' . join(', ', map { "$_ AS c" . ++$n } map { pick(@plain) } 1 .. 1 + int(rand(2))) . " FROM $from";
    }
    my @keys = maybe(0.1) ? () : map { pick(@plain, 'a.x % 3', "coalesce(a.s, 'none')") } 1 .. 1 + int(rand(2));
    my %seen; @keys = grep { !$seen{$_}++ } @keys;
    my @num = ('a.x', 'a.n', 'a.k', $in{b} ? ('b.y', 'b.m', 'b.k') : (), 'CASE WHEN a.f THEN a.n END');
    my @any = (@plain, "CASE WHEN a.s = 'A' THEN a.x END");
    my @agg = (
        sub { 'count(*)' }, sub { 'count(' . pick(@any) . ')' }, sub { 'count(DISTINCT ' . pick(@any) . ')' },
        sub { 'sum(' . pick(@num) . ')' }, sub { 'avg(' . pick(@num) . ')' },
        sub { pick('min', 'max') . '(' . pick(@num, 'a.s') . ')' }, sub { pick('bool_or', 'bool_and') . '(a.f)' },
        sub { 'count(*) FILTER (WHERE a.x > 4)' }, sub { 'round(avg(' . pick(@num) . '), 2)' },
        sub { 'least(5, count(*))' }, sub { 'sum(a.x)::numeric / nullif(count(a.x), 0)' },
        sub { 'count(DISTINCT a.x)::numeric / nullif(count(*), 0) * 100' }, sub { 'variance(a.x)' }, sub { 'stddev_pop(a.n)' },
        sub { 'sum(DISTINCT a.x)' }, sub { 'sum(a.x) FILTER (WHERE a.f)' },
    );
    my @out = (@keys, map { pick(@agg)->() } 1 .. 1 + int(rand(4)));
    my $sql = 'SELECT ' . join(', ', map { "$_ AS c" . ++$n } @out) . " FROM $from";
    $sql .= ' GROUP BY ' . join(', ', @keys) if @keys;
    $sql .= ' HAVING ' . pick('count(*) > 1', 'sum(a.x) > 10', 'count(DISTINCT a.x) < 4', 'min(a.x) IS NOT NULL') if maybe(0.2);
    return $sql;
}

# Groups by a unique key with an outer join: counted by the other side's column alone.
sub by_key {
    my ($one, $shown, $from, $many, @values) = @{ pick(
        [ 'a', [qw(a.g a.s)], 'a LEFT JOIN b ON b.a_k = a.k', 'b', qw(b.y b.t b.k) ],
        [ 'c', [qw(c.name c.z)], 'c LEFT JOIN a ON a.g = c.k', 'a', qw(a.x a.s a.k a.n a.f) ],
        [ 'c', [qw(c.name c.z)], 'c LEFT JOIN b ON c.k = b.c_k AND b.y > 2', 'b', qw(b.y b.t b.a_k) ],
        [ 'a', [qw(a.g a.s)], 'a LEFT JOIN (SELECT g, x, k, s FROM p WHERE x < 9) p ON p.g = a.k', 'p', qw(p.x p.k p.s) ],
        [ 'a', [qw(a.x a.s)], 'a LEFT JOIN a b2 ON b2.g = a.k', 'b2', qw(b2.x b2.s b2.n) ],
        [ 'c', [qw(c.name c.z)], 'c LEFT JOIN (a JOIN b ON b.a_k = a.k) ON a.g = c.k', 'b', qw(b.y a.x a.s b.t) ]) };
    my $v = sub { pick(@values) };
    my $if = sub { "CASE WHEN $many.k % 2 = 0 THEN " . $v->() . ' END' };
    $if = $v if $many eq 'b2' || $many eq 'b';
    my $n = 0;
    my @key = ("$one.k", maybe(0.5) ? pick(@$shown) : ());
    my @int = grep { /[.](x|y|k|a_k)$/ } @values;
    my @agg = map { pick(
            'count(*)', 'count(' . $v->() . ')', 'count(DISTINCT ' . $v->() . ')', 'count(DISTINCT ' . $if->() . ')',
            'sum(' . pick(@int) . ')', 'avg(' . pick(@int) . ')', 'least(3, count(DISTINCT ' . $v->() . '))', 'count(1)',
            'round(count(DISTINCT ' . $v->() . ')::numeric / nullif(count(*), 0) * 100, 2)',
            'sum(coalesce(' . pick(@int) . ', 7))', 'count(*) FILTER (WHERE ' . pick(@int) . ' IS NULL)') } 1 .. 1 + int(rand(4));
    my $sql = 'SELECT ' . join(', ', map { "$_ AS c" . ++$n } @key, @agg) . " FROM $from";
    $sql .= " WHERE $one.k % 5 <> 1" if maybe(0.1);
    $sql .= ' GROUP BY ' . join(', ', maybe(0.8) ? @key : "$one.k");
    $sql .= ' HAVING ' . pick('count(*) > 1', "count(DISTINCT " . $v->() . ") < 3", "$one.k % 3 <> 0") if maybe(0.2);
    return $sql;
}

# A view as it is, an arm of a set operation, behind WITH, or over groups of the first view.
sub shaped {
    my $q = maybe(0.2) ? by_key() : view();
    my $how = rand();
    my $first = pick('a.g', 'a.x', 'b.y', 'p.x');
    my ($t) = $first =~ /^(\w)/;
    if ($how < 0.1) {
        my $op = pick('UNION', 'UNION ALL', 'INTERSECT', 'INTERSECT ALL', 'EXCEPT', 'EXCEPT ALL');
        return "SELECT a.g AS c1, a.s AS c2 FROM a $op SELECT $first, '" . pick('A', 'B') . "' FROM $t";
    }
    if ($how < 0.15) { return "SELECT x AS c1, count(*) AS c2 FROM p GROUP BY x UNION ALL SELECT $first, 1 FROM $t" }
    if ($how < 0.25) { return "WITH w AS ($q) SELECT * FROM w" }
    if ($how < 0.3) { return "WITH w AS ($q) SELECT c1, count(*) AS c2 FROM w GROUP BY c1" }
    return $q;
}

my ($done, $failed, %modes) = (0, 0);
while ($done < $cases && (!$seconds || time() - $start < $seconds)) {
    schema();
    my %view;
    for my $v (map { "v$_" } 1 .. 7) {
        # The last one reads another matview.
        my $below = join ' ', grep { $_ ne $v } sort keys %view;
        my $q = $v ne 'v7' ? shaped() : $below =~ /^(\w+)/ ? "SELECT c1, count(*) AS c2 FROM $1 GROUP BY c1" : next;
        my @e = sql("CREATE MATERIALIZED VIEW $v AS $q");
        next if grep { /ERROR/ } @e;
        $view{$v} = $q;
        sql("SELECT count(*) FROM dbopt.matview_manage('$v')");
    }
    sql("SELECT count(*) FROM dbopt.matview_refresh('$_')") for sort keys %view;
    for my $round (1 .. 12) {
        batch();
        for my $v (sort keys %view) {
            sql("REFRESH MATERIALIZED VIEW $v") if maybe(0.01);
            if (maybe(0.05)) {
                sql('BEGIN');
                my @e = (change(), sql('SELECT 1'));
                if (my ($e) = grep { /ERROR/ } @e) { print "# a change failed: $e\n"; sql('ROLLBACK'); }
            }
            my ($r) = sql("SELECT mode || '|' || status || '|' || coalesce(reason, '') FROM dbopt.matview_refresh('$v')");
            sql('COMMIT');
            my ($diff) = sql("SELECT dbopt.matview_verify('$v')");
            ++$done;
            my ($mode, $status, $reason) = split /\|/, $r // '||', 3;
            ++$modes{ $mode // '?' };
            print "# gave up: $reason\n# $view{$v}\n" if ($reason // '') =~ /gave up|no counting state/;
            next if ($diff // '') eq '0' && ($status // '') =~ /done|skipped/;
            ++$failed;
            print "not ok: seed $seed case $done round $round mode $r differs by ", $diff // '?', "\n  $view{$v}\n";
        }
    }
    sql("SELECT dbopt.matview_unmanage('$_')") for sort keys %view;
}
sql('DROP SCHEMA dt CASCADE');
print $in "\\q\n";
close $in;
print '# ', join(', ', map { "$_ $modes{$_}" } sort keys %modes), "\n";
print $failed ? "FAILED" : "ok", ": $done cases, $failed differences, ", time() - $start, " s, seed $seed\n";
exit($failed ? 1 : 0);
