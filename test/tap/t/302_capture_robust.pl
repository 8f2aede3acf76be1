# Capture beside other collectors, through errors in every place, with damaged files, and its log of slow
# statements with hostile texts.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

# ---- previous hooks are always called: other collectors count the same, loaded before or after ----
for my $libraries ('pg_stat_statements,auto_explain,dbopt', 'dbopt,auto_explain,pg_stat_statements')
{
	(my $name = $libraries) =~ s/\W/_/g;
	my $node = dbopt_cluster("hooks_$name", "dbopt.enabled = off\nauto_explain.log_min_duration = 0\npg_stat_statements.track = top\n");
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$libraries'");
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION dbopt; CREATE EXTENSION pg_stat_statements; CREATE TABLE t AS SELECT generate_series(1, 100) AS a');
	$node->safe_psql('postgres', 'SELECT pg_stat_statements_reset(); SELECT dbopt.workload_reset()');
	my $sql = join ';', ('SELECT count(*) FROM t WHERE a > 1') x 7, ('UPDATE t SET a = a WHERE a = 5') x 3, 'CREATE TABLE u (a int)', 'DROP TABLE u';
	$node->safe_psql('postgres', $sql);
	$node->psql('postgres', 'SELECT 1 / (a - 50) FROM t', on_error_stop => 0) for 1 .. 4;
	is($node->safe_psql('postgres', q{SELECT string_agg(w.calls || '=' || s.calls, ' ' ORDER BY w.calls DESC, w.query)
		FROM dbopt.workload w JOIN pg_stat_statements s ON s.queryid = w.query_id AND s.toplevel WHERE w.query ~ 'FROM t WHERE|UPDATE t|TABLE u'}),
		'7=7 3=3 1=1 1=1', "$libraries: both count the same");
	is($node->safe_psql('postgres', q{SELECT errors FROM dbopt.workload WHERE query LIKE 'SELECT ? / (a - ?)%'}), '4', "$libraries: failed ones are counted");
	my @explained = slurp_file($node->logfile) =~ /(Query Text: UPDATE t SET)/g;
	is(scalar @explained, 3, "$libraries: auto_explain saw each");
	# switched off and on again in a session: the others go on
	$node->safe_psql('postgres', "SET dbopt.capture = none; SELECT count(*) FROM t WHERE a > 2; SET dbopt.capture = top; SELECT count(*) FROM t WHERE a > 3");
	is($node->safe_psql('postgres', q{SELECT s.calls || ' ' || w.calls FROM dbopt.workload w JOIN pg_stat_statements s ON s.queryid = w.query_id
		WHERE w.query LIKE 'SELECT count(*) FROM t WHERE%'}), '9 8', "$libraries: none stops capture alone");
	ok(no_crash($node), "$libraries: no crash");
	$node->stop;
}

# ---- an error in the middle restores nesting: the next statement is at top level again ----
my $node = dbopt_cluster('capture_robust', "dbopt.enabled = off\ndbopt.log_slow_queries = off\n", extra => ['--encoding=UTF8', '--locale=C']);
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION dbopt; CREATE TABLE t AS SELECT generate_series(1, 1000) AS a;
	CREATE FUNCTION deep(n int) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		IF n = 0 THEN RETURN 1 / 0; END IF;
		RETURN (SELECT deep(n - 1));
	END $$;
	CREATE FUNCTION caught(n int) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		RETURN (SELECT deep(n));
	EXCEPTION WHEN division_by_zero THEN RETURN (SELECT count(*) FROM t WHERE a = 4711);
	END $$;
	CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1 .. 3 LOOP INSERT INTO t VALUES (i); COMMIT; END LOOP; PERFORM deep(2); END $$;
	CREATE TABLE d (a int REFERENCES r DEFERRABLE INITIALLY DEFERRED)} =~ s/CREATE TABLE d/CREATE TABLE r (a int PRIMARY KEY); CREATE TABLE d/r);
my @disasters = (
	'SELECT deep(5)', 'SELECT caught(5)', "SET statement_timeout = '50ms'; SELECT pg_sleep(10)", 'CALL commits()',
	'BEGIN; DECLARE c CURSOR FOR SELECT 1 / (a - 500) FROM t; FETCH 100 FROM c; FETCH ALL FROM c; ROLLBACK',
	'BEGIN; SAVEPOINT s; SELECT deep(3); ROLLBACK TO s; SELECT caught(2); COMMIT', 'INSERT INTO d VALUES (1)', 'SELECT no_such_column FROM t',
	'COPY (SELECT 1 / (a - 500) FROM t) TO STDOUT', 'EXPLAIN ANALYZE SELECT deep(2)', 'PREPARE p AS SELECT deep(1); EXECUTE p', 'DO $$ BEGIN PERFORM deep(1); END $$',
	'CREATE TABLE x AS SELECT deep(2)', 'REFRESH MATERIALIZED VIEW nothing', 'SELECT pg_terminate_backend(pg_backend_pid())');
my $n = 0;
for my $sql (@disasters)
{
	++$n;
	$node->safe_psql('postgres', 'SELECT dbopt.workload_reset()');
	# In one session: the disaster, then a plain statement, whose constant tells nothing, whose alias does.
	$node->psql('postgres', "$sql;\nSELECT 1 AS after_$n;\nSELECT caught(1) + 0 AS nested_$n", on_error_stop => 0);
	next if $sql =~ /terminate/;
	is($node->safe_psql('postgres', qq{SELECT calls || ' ' || toplevel FROM dbopt.workload WHERE query LIKE '%AS after_$n'}), '1 true', "at top level after: $sql");
	is($node->safe_psql('postgres', qq{SELECT calls || ' ' || toplevel FROM dbopt.workload WHERE query LIKE '%AS nested_$n'}), '1 true', "and a function after it");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM dbopt.workload WHERE query LIKE '%a = ?' OR NOT toplevel}), '0', 'what ran inside is not taken for a statement of a client');
}

# ---- slow statements: hostile texts make one valid line of JSON each ----
$node->safe_psql('postgres', "ALTER SYSTEM SET dbopt.log_slow_queries = on; ALTER SYSTEM SET dbopt.slow_query_threshold = 0; SELECT pg_reload_conf()");
$node->poll_query_until('postgres', "SELECT current_setting('dbopt.log_slow_queries') = 'on'") or die;
my @hostile = (
	qq{SELECT 'secret-1', E'a\\nb', \$\$secret-2\$\$ AS "line\nend"}, qq{SELECT 1 AS "tab\there ""quoted"" \\ back"},
	"SELECT 1 AS \"\x{01}\x{1f}\x{7f}\"", q{SELECT 1 /* } . q{</script> */ AS "</script><!--"}, 'SELECT 1 AS "' . ('ä' x 30) . '", ' . join(', ', map { "1 AS \"数据$_\"" } 1 .. 300),
	(map { 'SELECT ' . ('x' x $_) . ' FROM (SELECT 1 AS ' . ('x' x $_) . ') s, (SELECT 2 AS ' . join(', 3 AS ', map { "äöü数$_" } 1 .. 260) . ') t' } 1 .. 7),
	q{SELECT '%s%n%1$s' AS "%s%n%d"}, 'SELECT 1 -- dbopt slow query {"query_id": 1}', "SELECT 1\r\n\r\nAS crlf");
for my $sql (@hostile) { $node->psql('postgres', $sql, on_error_stop => 0); }
my $log = slurp_file($node->logfile);
my @lines = $log =~ /LOG:  dbopt slow query (.*)$/mg;
cmp_ok(scalar @lines, '>=', scalar @hostile, 'every statement has its line');
my @bad = grep { my $l = $_; !eval { my $j = JSON::PP->new->utf8->decode($l); length($j->{query}) <= 2000 && $j->{duration_ms} >= 0 } } @lines;
is(scalar @bad, 0, 'each is JSON in valid UTF-8, and bounded') or diag substr($bad[0], 0, 300);
is(scalar(grep { /secret-/ } @lines), 0, 'and shows no literal');
$node->safe_psql('postgres', "ALTER SYSTEM RESET ALL; SELECT pg_reload_conf()");

# ---- damaged or cut files: the server starts, what can be read is read ----
$node->safe_psql('postgres', 'SELECT count(*) AS kept FROM t WHERE a < 3') for 1 .. 5;
$node->stop;
my $file = $node->data_dir . '/pg_stat/dbopt_workload.stat';
my $whole = slurp_file($file);
cmp_ok(length $whole, '>', 2000, 'the workload is saved');
sub with_file
{
	my ($what, $content) = @_;
	open my $f, '>:raw', $file or die $!;
	print $f $content;
	close $f;
	$node->start;
	my ($code, $out, $err) = $node->psql('postgres', 'SELECT count(*), bool_and(calls >= 0), bool_and(p50_ms >= 0 AND p99_ms >= 0) IS NOT FALSE FROM dbopt.workload');
	is($code, 0, "$what: readable") or diag $err;
	$node->safe_psql('postgres', 'SELECT count(*) AS again FROM t; SELECT dbopt.report(); SELECT count(*) FROM dbopt.slow_queries_since()');
	my $seen = $node->safe_psql('postgres', q{SELECT coalesce(sum(calls), 0) FROM dbopt.workload WHERE query LIKE '%AS kept%'});
	$node->stop;
	return $seen;
}
is(with_file('whole', $whole), 5, 'whole: nothing is lost');
with_file("cut after $_ bytes", substr($whole, 0, $_)) for 0, 1, 7, 8, 16, 23, 24, 100, 400, int(length($whole) / 2), length($whole) - 1;
srand(4711);
for my $round (1 .. 6)
{
	my $damaged = $whole;
	substr($damaged, 24 + int(rand(length($damaged) - 24)), 1) = chr(int(rand(256))) for 1 .. 1 + 20 * $round;
	with_file("$round: bytes changed", $damaged);
}
is(with_file('another version', 'dbopt??' . substr($whole, 7)), 0, 'a file of another version is left alone');
ok(no_crash($node), 'no backend crashed');
done_testing();
