# A real Prometheus scrapes the exposition, and Debian's exporters with the configurations of
# contrib/monitoring; promtool finds nothing to complain about; the dashboard asks for what there is.
use strict;
use warnings;
use HTTP::Tiny;
use IO::Socket::INET;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my %program = map { chomp(my $p = `command -v $_ 2>/dev/null`); $_ => $p } qw(prometheus promtool prometheus-sql-exporter prometheus-postgres-exporter);
plan skip_all => 'Prometheus is not installed' unless $program{prometheus} && $program{promtool};
my ($contrib) = grep { -d } map { "$_/contrib/monitoring" } '.', '..', '../..', '../../..', $ENV{TREE} // '.';

my $node = PostgreSQL::Test::Cluster->new('prometheus');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dbopt'");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION dbopt;
    CREATE TABLE "weird ""name"" \\ {}" (a int);
    CREATE ROLE exporter LOGIN; GRANT pg_monitor TO exporter;
    SELECT dbopt.pool_add('an "app" pool', application_name => 'api', max_size => 10)});

my $dir = PostgreSQL::Test::Utils::tempdir();
my $text = $node->safe_psql('postgres', 'SELECT dbopt.prometheus()');
PostgreSQL::Test::Utils::append_to_file("$dir/metrics", "$text\n");
my ($said, $complaints) = ('', '');
ok(IPC::Run::run([ $program{promtool}, 'check', 'metrics' ], '<', "$dir/metrics", '>', \$said, '2>', \$complaints), 'promtool check metrics');
is($said . $complaints, '', 'and it has no remark');
ok(IPC::Run::run([ $program{promtool}, 'check', 'rules', "$contrib/alerts.yml" ], '>', \$said, '2>', \$complaints), 'promtool check rules') or diag $said . $complaints;

# ---- a page with the exposition, as any web server would give it ----
my $http = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 20, ReuseAddr => 1) or die $!;
my $page_port = $http->sockport;
my $page = fork // die $!;
if ($page == 0)
{
    while (my $client = $http->accept)
    {
        while (my $line = <$client>) { last if $line =~ /^\r?\n$/; }
        print $client "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\n$text\n";
        close $client;
    }
    exec 'true';
}

# ---- the exporters, as the files of contrib/monitoring configure them ----
my ($host, $port) = ($node->host, $node->port);
my @running;
sub start { my ($log, @command) = @_; push @running, IPC::Run::start(\@command, '<', '/dev/null', '>', $log, '2>&1'); }
END { my $status = $?; kill 'KILL', $page if $page; $_->kill_kill for @running; $? = $status; }

my %target = (page => $page_port);
if ($program{'prometheus-sql-exporter'})
{
    my $yml = slurp_file("$contrib/sql_exporter.yml");
    ok($yml =~ s{postgres://exporter\@/postgres\?host=/var/run/postgresql&}{postgres://exporter@/postgres?host=$host&port=$port&}, 'the connection is the documented one');
    $yml =~ s/interval: 30s/interval: 1s/;
    PostgreSQL::Test::Utils::append_to_file("$dir/sql_exporter.yml", $yml);
    $target{sql} = PostgreSQL::Test::Cluster::get_free_port();
    start("$dir/sql.log", $program{'prometheus-sql-exporter'}, '-config.file', "$dir/sql_exporter.yml", '-web.listen-address', "127.0.0.1:$target{sql}");
}
if ($program{'prometheus-postgres-exporter'})
{
    $target{postgres} = PostgreSQL::Test::Cluster::get_free_port();
    local $ENV{DATA_SOURCE_NAME} = "postgres://exporter@/postgres?host=$host&port=$port&sslmode=disable";
    start("$dir/postgres.log", $program{'prometheus-postgres-exporter'}, "--extend.query-path=$contrib/postgres_exporter.yml",
        '--disable-default-metrics', '--disable-settings-metrics', "--web.listen-address=127.0.0.1:$target{postgres}");
}

# ---- Prometheus ----
my $prometheus = PostgreSQL::Test::Cluster::get_free_port();
my $jobs = join '', map { "  - job_name: $_\n    static_configs: [{targets: ['127.0.0.1:$target{$_}']}]\n" } sort keys %target;
PostgreSQL::Test::Utils::append_to_file("$dir/prometheus.yml",
    "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: ['$dir/alerts.yml']\nscrape_configs:\n$jobs");
PostgreSQL::Test::Utils::append_to_file("$dir/alerts.yml", slurp_file("$contrib/alerts.yml"));
start("$dir/prometheus.log", $program{prometheus}, "--config.file=$dir/prometheus.yml", "--storage.tsdb.path=$dir/data", "--web.listen-address=127.0.0.1:$prometheus");

my $agent = HTTP::Tiny->new(timeout => 10);
sub ask
{
    my ($expression) = @_;
    (my $escaped = $expression) =~ s/([^A-Za-z0-9_])/sprintf '%%%02X', ord $1/ge;
    my $answer = $agent->get("http://127.0.0.1:$prometheus/api/v1/query?query=$escaped");
    return $answer->{success} ? decode_json($answer->{content})->{data}{result} : [];
}
sub poll_ask
{
    my ($expression) = @_;
    for (1 .. 900) { my $r = ask($expression); return $r if @$r; usleep(200_000); }
    diag slurp_file("$dir/$_.log") for grep { -e "$dir/$_.log" } qw(prometheus sql postgres);
    return [];
}
is(scalar @{ poll_ask('dbopt_up == 1') }, 1, 'Prometheus scrapes the exposition');
is(scalar @{ poll_ask(q(dbopt_table_bytes{relation="weird \"name\" \\\\ {}"})) }, 1, 'hostile names come through');
is(scalar @{ poll_ask(q(dbopt_pool_max_size{pool="an \"app\" pool"} == 10)) }, 1, 'pools, too');
cmp_ok(scalar @{ poll_ask('dbopt_check_status') }, '>=', 80, 'every check is a series');
is(scalar @{ ask('up{job="page"} == 1') }, 1, 'the target is up');
for my $job (grep { $_ ne 'page' } sort keys %target)
{
    my $name = $job eq 'sql' ? 'sql_dbopt_metric' : 'dbopt_metric_value';
    my $got = poll_ask(qq($name\{job="$job", metric="dbopt_connections_limit"}));
    is(scalar @$got, 1, "$job exporter: a measurement arrives");
    cmp_ok(scalar @{ ask(qq(count by (metric) ($name\{job="$job"}))) }, '>=', 40, "$job exporter: all families");
}
my $rules = $agent->get("http://127.0.0.1:$prometheus/api/v1/rules");
my @broken = grep { $_->{health} eq 'err' } map { @{ $_->{rules} } } @{ decode_json($rules->{content})->{data}{groups} };
is(scalar @broken, 0, 'every alert rule can be evaluated');

# ---- the dashboard asks for families that exist ----
my $dashboard = eval { decode_json(slurp_file("$contrib/grafana.json")) };
ok($dashboard, 'the dashboard is JSON') or diag $@;
my %known = map { $_ => 1 } $text =~ /^# TYPE (\S+)/mg;
my @wanted = map { /(dbopt_\w+)/g } map { $_->{expr} } map { @{ $_->{targets} // [] } } @{ $dashboard->{panels} };
cmp_ok(scalar @wanted, '>=', 10, 'it has panels');
# Families of replicas and of raised alerts exist only where there are some.
is(join(' ', grep { !$known{$_} && !/^dbopt_(replication|alert)/ } @wanted), '', 'and none asks for an unknown one');
$node->stop;
done_testing();
