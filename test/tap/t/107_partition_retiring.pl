# What follows a detach by a worker (DROP here) comes only to what that worker has detached, and only
# as long as retention wants it.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('retiring', "fsync = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION dbopt');

sub sql { return $node->safe_psql('postgres', @_); }
sub until_true { my ($sql, $what) = @_; return ok($node->poll_query_until('postgres', $sql), $what); }

# A set of four partitions, the oldest of them past retention.
sub set_of {
    my ($name) = @_;
    sql(qq{CREATE TABLE $name (id bigint, k timestamptz NOT NULL, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
        CREATE TABLE ${name}_old PARTITION OF $name FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
        INSERT INTO $name VALUES (1, '2020-01-10');
        SELECT count(*) FROM dbopt.partition_manage('$name', '1 month', premake => 1, retention => '6 months', retention_mode => 'drop',
            start_at => date_trunc('month', now() - interval '2 months')::date::text);});
}
my $over = q{SELECT NOT EXISTS (SELECT FROM dbopt.partition_retiring)};

# the plain case: detached and dropped, unaided
set_of('plain');
until_true(q{SELECT to_regclass('plain_old') IS NULL}, 'past retention, a partition is detached and dropped');
until_true($over, 'and nothing is remembered');

# the detach fails: a foreign key refers to the row
sql(q{SELECT dbopt.pause('partition')});
set_of('held');
sql(q{CREATE TABLE kid (id bigint, k timestamptz, FOREIGN KEY (id, k) REFERENCES held); INSERT INTO kid VALUES (1, '2020-01-10');
    SELECT dbopt.resume('partition')});
until_true(q{SELECT EXISTS (SELECT FROM dbopt.run WHERE object = 'held_old'::regclass AND status = 'failed')}, 'a detach fails on a foreign key');
sql(q{SELECT count(*) FROM dbopt.partition_manage('held', '1 month', retention => NULL)});
until_true($over, 'it is forgotten');
sql(q{DELETE FROM kid; ALTER TABLE held DETACH PARTITION held_old});
sql(q{SELECT count(*) FROM dbopt.partition_maintain('held')});
is(sql(q{SELECT count(*) FROM held_old}), '1', 'what the owner detaches himself stays');

# detached by hand while our own detach still waits in the queue
sql(q{SELECT dbopt.pause('partition')});
set_of('race');
sql(q{INSERT INTO dbopt.partition_retiring (partition, parent, run_id, upper_position) VALUES ('race_old', 'race', 999999, 0)});
sql(q{ALTER TABLE race DETACH PARTITION race_old});
like(sql(q{SELECT status, detail FROM dbopt.partition_maintain('race') WHERE action = 'drop'}), qr/^skipped\|it stays as a table: it was not dbopt/, 'a round says that it stays');
is(sql(q{SELECT count(*) FROM race_old}), '1', 'it stays');
is(sql($over), 't', 'and is forgotten');

# retention is longer by the time that the detach is done
set_of('longer');
sql(q{ALTER TABLE longer DETACH PARTITION longer_old});
sql(q{INSERT INTO dbopt.partition_retiring (partition, parent, run_id, upper_position) VALUES ('longer_old', 'longer', 0, (extract(epoch FROM '2020-02-01'::timestamptz) * 1000000)::bigint - 946684800000000)});
sql(q{SELECT count(*) FROM dbopt.partition_manage('longer', '1 month', retention => '100 years')});
is(sql(q{SELECT count(*) FROM longer_old}), '1', 'what retention reaches by now stays');
sql(q{INSERT INTO dbopt.partition_retiring (partition, parent, run_id, upper_position) VALUES ('longer_old', 'longer', 0, (extract(epoch FROM '2020-02-01'::timestamptz) * 1000000)::bigint - 946684800000000)
    ON CONFLICT DO NOTHING});
sql(q{SELECT count(*) FROM dbopt.partition_manage('longer', '1 month', retention => '6 months')});
sql(q{SELECT count(*) FROM dbopt.partition_maintain('longer')});
is(sql(q{SELECT to_regclass('longer_old') IS NULL}), 't', 'and goes when it does not');
sql(q{SELECT dbopt.resume('partition')});

# The highest id is read from the partitions: one that is locked keeps no round waiting, and no other set.
sql(q{CREATE TABLE ids (id bigint PRIMARY KEY) PARTITION BY RANGE (id); SELECT count(*) FROM dbopt.partition_manage('ids', '100', premake => 1);
    CREATE TABLE days (k timestamptz) PARTITION BY RANGE (k); SELECT count(*) FROM dbopt.partition_manage('days', '1 day', premake => 2);
    INSERT INTO ids VALUES (5);});
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; INSERT INTO ids VALUES (105); LOCK TABLE ONLY ids_0, ids_100 IN ACCESS EXCLUSIVE MODE;');
like(sql(q{SELECT status, detail FROM dbopt.partition_maintain('ids')}), qr/^skipped\|no lock on a partition/, 'a set with a locked partition is skipped');
is(sql(q{SELECT DISTINCT status FROM dbopt.partition_maintain('ids', dry_run => true)}), 'skipped', 'in a dry run, too');
my $newest = sql(q{SELECT partition FROM dbopt.partitions WHERE parent = 'days'::regclass ORDER BY lower_time DESC LIMIT 1});
sql(qq{DROP TABLE $newest});
until_true(qq{SELECT to_regclass('$newest') IS NOT NULL}, 'the background serves the other sets meanwhile');
$locker->query_safe('COMMIT');
$locker->quit;
until_true(q{SELECT count(*) = 3 FROM dbopt.partitions WHERE parent = 'ids'::regclass}, 'and this one when the lock is gone');
ok(no_crash($node), 'no process crashed');
$node->stop;
done_testing();
