# Alerts as they happen: fired within one interval, told by NOTIFY and one line of JSON, through restarts and
# a crash, with the server's own log hostile; DROP DATABASE under the worker; the clock of the history jumps.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Dbopt::Test;

my $node = dbopt_cluster('alerts_live', "dbopt.snapshot_interval = 0\nmax_prepared_transactions = 5\nfsync = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION dbopt');
# What is bad for good on any machine is of no interest here.
$node->safe_psql('postgres', "SELECT dbopt.alert_set(rule, enabled => false) FROM dbopt.alert_rules WHERE rule <> 'xid_age_pct'");

sub events { $node->safe_psql('postgres', "SELECT count(*) FROM dbopt.alert_event WHERE rule = 'xid_age_pct' AND to_level = '$_[0]'") }
sub wait_for { my ($level, $n) = @_;
    return $node->poll_query_until('postgres', "SELECT count(*) >= $n FROM dbopt.alert_event WHERE rule = 'xid_age_pct' AND to_level = '$level'"); }

# ---- fired within one interval (10 s for a fast rule) and a second ----
# Five tries: on a machine that is loaded at that moment a round may come late.
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN dbopt_alert');
my ($best, $fired) = (1e9, 0);
for my $try (1 .. 5)
{
    $node->safe_psql('postgres', "DELETE FROM dbopt.alert_state; DELETE FROM dbopt.alert_event");
    my $since = $node->safe_psql('postgres', "SELECT dbopt.alert_set('xid_age_pct', warn => -2, critical => -1, for_time => '0'); SELECT clock_timestamp()");
    $since =~ s/^\s+//;
    ok(wait_for('critical', 1), "raised by the worker, try $try");
    ++$fired;
    my $took = $node->safe_psql('postgres', "SELECT extract(epoch FROM min(at) - '$since'::timestamptz) FROM dbopt.alert_event WHERE to_level = 'critical'");
    $best = $took if $took < $best;
    $node->safe_psql('postgres', "SELECT dbopt.alert_set('xid_age_pct', warn => 1e11, critical => 1e12)");
    last if $best <= 11;
}
cmp_ok($best, '<=', 11, "within one interval and a second ($best s)");

# ---- NOTIFY: JSON, bounded ----
my $heard = $listener->query('SELECT 1');
my ($payload) = grep { /"rule": "xid_age_pct"/ } $heard =~ /notification "dbopt_alert" with payload "(.*)" received/g;
my $told = eval { decode_json($payload // '') };
is($told->{rule}, 'xid_age_pct', 'NOTIFY carries JSON') or diag $heard;
is($told->{to}, 'critical', 'with the level');
cmp_ok(length($payload // 'x' x 9000), '<', 8000, 'and fits');
$listener->quit;
my @lines = slurp_file($node->logfile) =~ /dbopt alert (\{.*\})$/mg;
is(scalar(grep { !eval { decode_json($_) } } @lines), 0, 'every log line is JSON of its own');
is(scalar(grep { /"rule": "xid_age_pct"/ } @lines), $fired, 'one line per change');

# ---- through a restart and a crash: nothing is told twice, the end is noticed ----
$node->safe_psql('postgres', "DELETE FROM dbopt.alert_state; DELETE FROM dbopt.alert_event");
$node->safe_psql('postgres', "SELECT dbopt.alert_set('xid_age_pct', warn => -2, critical => -1)");
ok(wait_for('critical', 1), 'raised');
my $since = $node->safe_psql('postgres', "SELECT since FROM dbopt.alerts WHERE rule = 'xid_age_pct'");
for my $how ('fast', 'immediate')
{
    $node->stop($how);
    $node->start;
    is($node->safe_psql('postgres', "SELECT since FROM dbopt.alerts WHERE rule = 'xid_age_pct'"), $since, "$how stop: raised since the same moment");
    # A round of the worker has passed when it has looked at the rule again.
    my $seen = $node->safe_psql('postgres', "SELECT xmin FROM dbopt.alert_state WHERE rule = 'xid_age_pct'");
    ok($node->poll_query_until('postgres', "SELECT xmin::text <> '$seen' FROM dbopt.alert_state WHERE rule = 'xid_age_pct'"), "$how stop: the worker goes on");
    is(events('critical'), 1, "$how stop: told once");
}
# It has been good for longer than a minute: the worker tells the end.
$node->safe_psql('postgres', "SELECT dbopt.alert_set('xid_age_pct', warn => 1e11, critical => 1e12)");
ok($node->poll_query_until('postgres', "SELECT pending = 'ok' FROM dbopt.alert_state WHERE rule = 'xid_age_pct'"), 'the good value is seen');
$node->safe_psql('postgres', "UPDATE dbopt.alert_state SET pending_since = pending_since - 120");
ok(wait_for('ok', 1), 'the end is told');
is($node->safe_psql('postgres', "SELECT count(*) FROM dbopt.alerts"), 0, 'nothing is raised any more');

# ---- an oscillating series, round by round, as the worker would see it: one alert ----
$node->safe_psql('postgres', "ALTER SYSTEM SET dbopt.enabled = off; SELECT pg_reload_conf(); DELETE FROM dbopt.alert_state; DELETE FROM dbopt.alert_event");
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'dbopt%' AND state = 'active' AND pid <> pg_backend_pid()"), 'the worker rests');
$node->safe_psql('postgres', q{
    DO $$
    BEGIN
        FOR i IN 1 .. 200 LOOP
            PERFORM dbopt.alert_set('xid_age_pct', warn => CASE WHEN i % 2 = 0 THEN -1 ELSE 1e11 END, critical => 1e12);
            PERFORM dbopt.alert_check('fast');
            -- ten seconds go by
            UPDATE dbopt.alert_state SET since = since - 10, pending_since = pending_since - 10, ended_at = ended_at - 10;
        END LOOP;
    END $$;});
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM dbopt.alert_event"), '<=', 2, '200 swings make one alert');
$node->safe_psql('postgres', "ALTER SYSTEM SET dbopt.enabled = on; SELECT pg_reload_conf()");

# ---- a prepared transaction with a hostile name: JSON stays JSON ----
$node->safe_psql('postgres', <<'SQL');
    SELECT dbopt.alert_set('prepared_transaction_seconds', enabled => true, warn => 0, critical => 0, for_time => '0');
    CREATE TABLE p (a int);
    BEGIN; INSERT INTO p VALUES (1); PREPARE TRANSACTION E'"}\n</script><b>Zoë 数据\\''';
SQL
ok($node->poll_query_until('postgres', "SELECT count(*) >= 1 FROM dbopt.alert_event WHERE rule = 'prepared_transaction_seconds' AND detail LIKE '%script%'"), 'raised');
my ($line) = grep { /prepared_transaction/ } slurp_file($node->logfile) =~ /dbopt alert (\{.*\})$/mg;
my $alert = eval { decode_json($line // '') };
is($alert->{rule}, 'prepared_transaction_seconds', 'one line, although the name has a line end') or diag $line;
unlike($node->safe_psql('postgres', 'SELECT dbopt.report()'), qr{</script|<b>Zo}, 'and the report shows it escaped');
my $gid = $node->safe_psql('postgres', 'SELECT quote_literal(gid) FROM pg_prepared_xacts');
$node->safe_psql('postgres', "ROLLBACK PREPARED $gid");

# ---- DROP DATABASE under the worker, in the middle of its rounds ----
for my $i (1 .. 3)
{
    $node->safe_psql('postgres', "CREATE DATABASE doomed$i");
    $node->safe_psql("doomed$i", q{CREATE EXTENSION dbopt; SELECT dbopt.alert_set('xid_age_pct', warn => -2, critical => -1, for_time => '0');
        SELECT dbopt.pool_add('gone', 'host=/nonexistent port=1 user=x')});
    $node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = 'doomed$i' AND backend_type LIKE 'dbopt%'")
        or die 'no worker came' if $i == 1;
    my ($code, $out, $err) = $node->psql('postgres', "DROP DATABASE doomed$i WITH (FORCE)");
    is($code, 0, "database dropped under the worker, $i") or diag $err;
}
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'doomed%'"), 0, 'nobody is left in it');
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type LIKE 'dbopt%'"), 'the others live');
ok(no_crash($node), 'no backend crashed');
$node->stop;
done_testing();
