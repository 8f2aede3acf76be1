-- An analytic star schema with three facts and six dimensions. :scale 1 is about 60 MB.
-- Skewed references, correlated dates, decimals, text: what makes sizes and plans hard to guess.
SELECT setseed(0.42);
CREATE SCHEMA star;
SET search_path = star, public;
CREATE TABLE region (region_id int PRIMARY KEY, region_name text NOT NULL);
CREATE TABLE store (store_id int PRIMARY KEY, region_id int NOT NULL, city text NOT NULL, opened date NOT NULL, size_class char(1) NOT NULL);
CREATE TABLE customer (customer_id int PRIMARY KEY, region_id int NOT NULL, segment text NOT NULL, email text NOT NULL, birth date, balance numeric(12,2) NOT NULL);
CREATE TABLE product (product_id int PRIMARY KEY, brand text NOT NULL, category text NOT NULL, size int NOT NULL, container text NOT NULL, price numeric(10,2) NOT NULL);
CREATE TABLE vendor (vendor_id int PRIMARY KEY, region_id int NOT NULL, vendor_name text NOT NULL, rating numeric(3,1) NOT NULL);
CREATE TABLE supply (product_id int NOT NULL, vendor_id int NOT NULL, cost numeric(10,2) NOT NULL, available int NOT NULL, note text NOT NULL);
CREATE TABLE sale (sale_id bigint NOT NULL, customer_id int NOT NULL, store_id int NOT NULL, sale_date date NOT NULL, status char(1) NOT NULL, priority text NOT NULL, total numeric(12,2) NOT NULL, clerk text NOT NULL, remark text NOT NULL);
CREATE TABLE sale_line (sale_id bigint NOT NULL, line_no int NOT NULL, product_id int NOT NULL, vendor_id int NOT NULL, quantity numeric(8,2) NOT NULL, price numeric(12,2) NOT NULL, discount numeric(4,2) NOT NULL, tax numeric(4,2) NOT NULL, return_flag char(1) NOT NULL, line_status char(1) NOT NULL, ship_date date NOT NULL, commit_date date NOT NULL, receipt_date date NOT NULL, ship_mode text NOT NULL, instruct text NOT NULL, remark text NOT NULL);
CREATE TABLE web_event (event_id bigint NOT NULL, customer_id int, product_id int, happened timestamptz NOT NULL, kind text NOT NULL, session_no int NOT NULL, payload text NOT NULL);

INSERT INTO region SELECT i, 'Region ' || i FROM generate_series(1, 25) i;
INSERT INTO store SELECT i, 1 + i % 25, 'City ' || (i * 7 % 190), date '2005-01-01' + (random() * 5000)::int, chr(65 + (random() * 3)::int) FROM generate_series(1, 300 * :scale) i;
INSERT INTO customer SELECT i, 1 + (random() * 24)::int, (ARRAY['RETAIL','BUSINESS','PUBLIC','SCHOOL','OTHER'])[1 + i % 5], 'Customer.' || i || '@example' || i % 9 || '.org', CASE WHEN i % 10 > 0 THEN date '1950-01-01' + (random() * 20000)::int END, (random() * 10000)::numeric(12,2) FROM generate_series(1, 8000 * :scale) i;
INSERT INTO product SELECT i, 'Brand#' || (1 + random() * 24)::int, (ARRAY['TOOL','TOY','FOOD','BOOK','GARDEN','MUSIC','SPORT','PAPER'])[1 + (random() * 7)::int] || ' ' || (ARRAY['SMALL','LARGE','MEDIUM','ECONOMY'])[1 + (random() * 3)::int], (1 + random() * 49)::int, (ARRAY['SM BOX','LG BOX','MED BAG','JUMBO PKG','WRAP CASE'])[1 + (random() * 4)::int], (random() * 2000)::numeric(10,2) FROM generate_series(1, 10000 * :scale) i;
INSERT INTO vendor SELECT i, 1 + (random() * 24)::int, 'Vendor ' || md5(i::text), (random() * 9)::numeric(3,1) FROM generate_series(1, 500 * :scale) i;
INSERT INTO supply SELECT p, 1 + (p * 7 + k * 13) % (500 * :scale), (random() * 1000)::numeric(10,2), (random() * 9999)::int, repeat(md5(p::text), 3) FROM generate_series(1, 10000 * :scale) p, generate_series(1, 4) k;
INSERT INTO sale SELECT i * 4, 1 + (power(random(), 2) * (8000 * :scale - 1))::int, 1 + (random() * (300 * :scale - 1))::int, date '2018-01-01' + (random() * 2400)::int, (ARRAY['F','O','P'])[1 + (random() * 2.1)::int % 3], (1 + random() * 4)::int || '-PRIO', (random() * 90000)::numeric(12,2), 'Clerk#' || (random() * 1000 * :scale)::int, repeat('r', 20 + (random() * 40)::int) FROM generate_series(1, 75000 * :scale) i;
INSERT INTO sale_line SELECT s.sale_id, l, 1 + (random() * (10000 * :scale - 1))::int, 1 + (random() * (500 * :scale - 1))::int, (1 + random() * 49)::int, (random() * 90000)::numeric(12,2), (random() * 0.1)::numeric(4,2), (random() * 0.08)::numeric(4,2), (ARRAY['A','N','R'])[1 + (random() * 2)::int], CASE WHEN s.sale_date > '2022-06-01' THEN 'O' ELSE 'F' END, s.sale_date + 1 + (random() * 120)::int, s.sale_date + 30 + (random() * 60)::int, s.sale_date + 5 + (random() * 140)::int, (ARRAY['AIR','MAIL','SHIP','TRUCK','RAIL','FOB','REG AIR'])[1 + (random() * 6)::int], (ARRAY['DELIVER IN PERSON','COLLECT COD','NONE','TAKE BACK RETURN'])[1 + (random() * 3)::int], repeat('x', 10 + (random() * 34)::int) FROM sale s, generate_series(1, 1 + (s.sale_id / 4 % 7)::int) l;
INSERT INTO web_event SELECT i, CASE WHEN random() < 0.7 THEN 1 + (random() * (8000 * :scale - 1))::int END, CASE WHEN random() < 0.5 THEN 1 + (random() * (10000 * :scale - 1))::int END, timestamptz '2023-01-01 00:00+00' + i * interval '1 minute' / :scale, (ARRAY['view','click','cart','buy','search'])[1 + floor(power(random(), 2) * 5)::int], (i / 8)::int, repeat(md5(i::text), 2) FROM generate_series(1, 150000 * :scale) i;
VACUUM ANALYZE;
