-- The eight tables of TPC-H with values of our own in its distributions. :scale 1 is a tenth of its unit,
-- about 130 MB. With :keys 0 there is no primary key either, as many comparisons of advisors have it.
SELECT setseed(0.31) \g /dev/null
CREATE SCHEMA tpch;
SET search_path = tpch, public;
CREATE FUNCTION pick(VARIADIC words text[]) RETURNS text LANGUAGE sql VOLATILE AS
    'SELECT words[1 + floor(random() * cardinality(words))::int]';
CREATE FUNCTION words(n int) RETURNS text LANGUAGE sql VOLATILE AS
    $$SELECT string_agg(pick('furiously', 'special', 'quickly', 'pending', 'deposits', 'requests', 'accounts', 'packages', 'final', 'bold', 'ironic', 'carefully', 'regular', 'silent', 'theodolites', 'sleep', 'haggle', 'across', 'the', 'slyly'), ' ') FROM generate_series(1, n)$$;
CREATE TABLE region (r_regionkey int, r_name char(25) NOT NULL, r_comment varchar(152));
CREATE TABLE nation (n_nationkey int, n_name char(25) NOT NULL, n_regionkey int NOT NULL, n_comment varchar(152));
CREATE TABLE supplier (s_suppkey int, s_name char(25) NOT NULL, s_address varchar(40) NOT NULL, s_nationkey int NOT NULL, s_phone char(15) NOT NULL, s_acctbal numeric(15,2) NOT NULL, s_comment varchar(101) NOT NULL);
CREATE TABLE part (p_partkey int, p_name varchar(55) NOT NULL, p_mfgr char(25) NOT NULL, p_brand char(10) NOT NULL, p_type varchar(25) NOT NULL, p_size int NOT NULL, p_container char(10) NOT NULL, p_retailprice numeric(15,2) NOT NULL, p_comment varchar(23) NOT NULL);
CREATE TABLE partsupp (ps_partkey int NOT NULL, ps_suppkey int NOT NULL, ps_availqty int NOT NULL, ps_supplycost numeric(15,2) NOT NULL, ps_comment varchar(199) NOT NULL);
CREATE TABLE customer (c_custkey int, c_name varchar(25) NOT NULL, c_address varchar(40) NOT NULL, c_nationkey int NOT NULL, c_phone char(15) NOT NULL, c_acctbal numeric(15,2) NOT NULL, c_mktsegment char(10) NOT NULL, c_comment varchar(117) NOT NULL);
CREATE TABLE orders (o_orderkey int, o_custkey int NOT NULL, o_orderstatus char(1) NOT NULL, o_totalprice numeric(15,2) NOT NULL, o_orderdate date NOT NULL, o_orderpriority char(15) NOT NULL, o_clerk char(15) NOT NULL, o_shippriority int NOT NULL, o_comment varchar(79) NOT NULL);
CREATE TABLE lineitem (l_orderkey int NOT NULL, l_partkey int NOT NULL, l_suppkey int NOT NULL, l_linenumber int NOT NULL, l_quantity numeric(15,2) NOT NULL, l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL, l_tax numeric(15,2) NOT NULL, l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL, l_shipdate date NOT NULL, l_commitdate date NOT NULL, l_receiptdate date NOT NULL, l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL, l_comment varchar(44) NOT NULL);
CREATE TEMP TABLE text_of AS SELECT n, words(3) AS short, words(9) AS long FROM generate_series(0, 4999) n;
INSERT INTO region SELECT i, (ARRAY['AFRICA','AMERICA','ASIA','EUROPE','MIDDLE EAST'])[i + 1], 'region' FROM generate_series(0, 4) i;
INSERT INTO nation SELECT i, (ARRAY['ALGERIA','ARGENTINA','BRAZIL','CANADA','EGYPT','ETHIOPIA','FRANCE','GERMANY','INDIA','INDONESIA','IRAN','IRAQ','JAPAN','JORDAN','KENYA','MOROCCO','MOZAMBIQUE','PERU','CHINA','ROMANIA','SAUDI ARABIA','VIETNAM','RUSSIA','UNITED KINGDOM','UNITED STATES'])[i + 1], (ARRAY[0,1,1,1,4,0,3,3,2,2,4,4,2,4,0,0,0,1,2,3,4,2,3,3,1])[i + 1], 'nation' FROM generate_series(0, 24) i;
INSERT INTO supplier SELECT i, 'Supplier#' || lpad(i::text, 9, '0'), md5(i::text), (random() * 24)::int, (10 + i % 25) || '-555-' || i, (random() * 11000 - 1000)::numeric(15,2), CASE WHEN i % 1000 = 7 THEN 'the Customer slyly Complaints' ELSE t.long END FROM generate_series(1, 1000 * :scale) i JOIN text_of t ON t.n = i % 5000;
INSERT INTO part SELECT i, pick('almond','forest','green','azure','beige','khaki','lace','navy','plum','rose') || ' ' || pick('antique','blush','coral','dim','frosted','ghost','green','hot','ivory','linen') || ' ' || t.short, 'Manufacturer#' || m, 'Brand#' || m || (1 + floor(random() * 5))::int, pick('STANDARD','SMALL','MEDIUM','LARGE','ECONOMY','PROMO') || ' ' || pick('ANODIZED','BURNISHED','PLATED','POLISHED','BRUSHED') || ' ' || pick('TIN','NICKEL','BRASS','STEEL','COPPER'), (1 + floor(random() * 50))::int, pick('SM','LG','MED','JUMBO','WRAP') || ' ' || pick('CASE','BOX','BAG','JAR','PKG','PACK','CAN','DRUM'), 900 + i % 1000, left(t.short, 23) FROM (SELECT i, 1 + i * 7 % 5 AS m FROM generate_series(1, 20000 * :scale) i) x JOIN text_of t ON t.n = i % 5000;
INSERT INTO partsupp SELECT p, 1 + (p + k * (250 * :scale + (p - 1) / (1000 * :scale))) % (1000 * :scale), (1 + random() * 9998)::int, (1 + random() * 999)::numeric(15,2), t.long || ' ' || t.short FROM generate_series(1, 20000 * :scale) p CROSS JOIN generate_series(0, 3) k JOIN text_of t ON t.n = (p * 4 + k) % 5000 ORDER BY p, k;
INSERT INTO customer SELECT i, 'Customer#' || lpad(i::text, 9, '0'), md5(i::text), nation, (10 + nation) || '-' || (100 + i % 900) || '-' || i, (random() * 11000 - 1000)::numeric(15,2), pick('AUTOMOBILE','BUILDING','FURNITURE','MACHINERY','HOUSEHOLD'), t.long FROM (SELECT i, floor(random() * 25)::int AS nation FROM generate_series(1, 15000 * :scale) i) x JOIN text_of t ON t.n = i % 5000;
INSERT INTO orders SELECT i / 8 * 32 + i % 8, c + CASE WHEN c % 3 = 0 THEN 1 ELSE 0 END, CASE WHEN d < date '1995-03-01' THEN 'F' WHEN d > date '1995-06-30' THEN 'O' ELSE 'P' END, (1000 + random() * 400000)::numeric(15,2), d, pick('1-URGENT','2-HIGH','3-MEDIUM','4-NOT SPECIFIED','5-LOW'), 'Clerk#' || lpad((1 + random() * 99 * :scale)::int::text, 9, '0'), 0, left(t.long, 79) FROM (SELECT i, (1 + random() * (15000 * :scale - 2))::int AS c, date '1992-01-01' + (random() * 2405)::int AS d FROM generate_series(1, 150000 * :scale) i OFFSET 0) x JOIN text_of t ON t.n = i % 5000 ORDER BY i;
INSERT INTO lineitem SELECT o_orderkey, p, 1 + (p + k * (250 * :scale + (p - 1) / (1000 * :scale))) % (1000 * :scale), n, q, q * (900 + p % 1000), (random() * 0.1)::numeric(15,2), (random() * 0.08)::numeric(15,2), CASE WHEN r <= date '1995-06-17' THEN pick('R', 'A') ELSE 'N' END, CASE WHEN s > date '1995-06-17' THEN 'O' ELSE 'F' END, s, o_orderdate + 30 + (random() * 60)::int, r, pick('DELIVER IN PERSON','COLLECT COD','NONE','TAKE BACK RETURN'), pick('REG AIR','AIR','RAIL','SHIP','TRUCK','MAIL','FOB'), left(o_comment, 27 + n) FROM (SELECT *, s + 1 + (random() * 29)::int AS r FROM (SELECT o_orderkey, o_orderdate, o_comment, n, (1 + random() * (20000 * :scale - 1))::int AS p, floor(random() * 4)::int AS k, (1 + random() * 49)::int AS q, o_orderdate + 1 + (random() * 120)::int AS s FROM orders, generate_series(1, 1 + hashint4(o_orderkey) & 7) n WHERE n < 8 OFFSET 0) y OFFSET 0) x;
\if :keys
ALTER TABLE region ADD PRIMARY KEY (r_regionkey);
ALTER TABLE nation ADD PRIMARY KEY (n_nationkey);
ALTER TABLE supplier ADD PRIMARY KEY (s_suppkey);
ALTER TABLE part ADD PRIMARY KEY (p_partkey);
ALTER TABLE partsupp ADD PRIMARY KEY (ps_partkey, ps_suppkey);
ALTER TABLE customer ADD PRIMARY KEY (c_custkey);
ALTER TABLE orders ADD PRIMARY KEY (o_orderkey);
ALTER TABLE lineitem ADD PRIMARY KEY (l_orderkey, l_linenumber);
\endif
VACUUM ANALYZE;
