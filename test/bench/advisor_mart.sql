-- A retail warehouse with three sales channels, their returns, an inventory and nine dimensions.
-- :scale 1 is about 150 MB. Surrogate keys without indexes on the facts, many NULLs, skewed items and
-- customers, a calendar that sales follow: what makes plans with many joins hard to estimate.
SELECT setseed(0.17) \g /dev/null
CREATE SCHEMA mart;
SET search_path = mart, public;
CREATE TABLE day (day_id int PRIMARY KEY, at date NOT NULL, year int NOT NULL, month int NOT NULL, quarter int NOT NULL, weekday text NOT NULL, week int NOT NULL, holiday boolean NOT NULL);
CREATE TABLE hour (hour_id int PRIMARY KEY, hour int NOT NULL, minute int NOT NULL, part text NOT NULL);
CREATE TABLE item (item_id int PRIMARY KEY, code text NOT NULL, brand_id int NOT NULL, brand text NOT NULL, class text NOT NULL, category text NOT NULL, maker int NOT NULL, colour text, size text, price numeric(7,2) NOT NULL, description text);
CREATE TABLE address (address_id int PRIMARY KEY, city text NOT NULL, county text NOT NULL, state text NOT NULL, zip text NOT NULL, country text NOT NULL, zone numeric(5,2));
CREATE TABLE household (household_id int PRIMARY KEY, band int NOT NULL, potential text NOT NULL, dependants int NOT NULL, vehicles int NOT NULL);
CREATE TABLE person (person_id int PRIMARY KEY, code text NOT NULL, address_id int, household_id int, gender char(1), marital char(1), education text, first_name text, last_name text, birth_year int, birth_country text, preferred char(1));
CREATE TABLE promo (promo_id int PRIMARY KEY, name text NOT NULL, email char(1) NOT NULL, event char(1) NOT NULL, item_id int);
CREATE TABLE outlet (outlet_id int PRIMARY KEY, name text NOT NULL, channel char(1) NOT NULL, state text NOT NULL, county text NOT NULL, zone numeric(5,2), employees int NOT NULL);
CREATE TABLE depot (depot_id int PRIMARY KEY, name text NOT NULL, state text NOT NULL, feet int);
CREATE TABLE stock (day_id int NOT NULL, item_id int NOT NULL, depot_id int NOT NULL, on_hand int);
INSERT INTO day SELECT i, d, extract(year FROM d), extract(month FROM d), extract(quarter FROM d), to_char(d, 'FMDay'), i / 7, extract(doy FROM d) IN (1, 100, 359, 360) FROM (SELECT i, date '2016-01-01' + i AS d FROM generate_series(0, 365 * 9) i) x;
INSERT INTO hour SELECT i, i / 60, i % 60, (ARRAY['night','morning','noon','evening'])[1 + i / 360] FROM generate_series(0, 1439) i;
INSERT INTO item SELECT i, 'ITEM' || lpad((i / 2)::text, 10, '0'), c * 1000 + i % 60, 'brand ' || c || '-' || i % 60, 'class ' || i % 97, (ARRAY['Books','Music','Sports','Home','Shoes','Women','Men','Children','Jewelry','Electronics'])[c], i % 700, (ARRAY['red','blue','green','black','white','plum','peach','navy','lime','tan','snow','rose'])[1 + (random() * 11)::int], (ARRAY['small','medium','large','extra large','N/A',NULL])[1 + (random() * 5)::int], (power(random(), 3) * 100 + 0.5)::numeric(7,2), repeat(md5(i::text), 2) FROM (SELECT i, 1 + (power(random(), 1.3) * 9.99)::int % 10 AS c FROM generate_series(1, 18000 * :scale) i) x;
INSERT INTO address SELECT i, 'City' || (power(random(), 2) * 600)::int, 'County' || (random() * 300)::int, (ARRAY['TX','CA','GA','OH','NY','VA','IL','TN','KS','MO','ND','AL','SD','LA','NC'])[1 + (power(random(), 1.7) * 14)::int], lpad((random() * 9000)::int::text, 5, '0'), 'Home Country', -5 - (random() * 3)::int FROM generate_series(1, 50000 * :scale) i;
INSERT INTO household SELECT i, i % 20, (ARRAY['>10000','5001-10000','1001-5000','501-1000','0-500','Unknown'])[1 + i % 6], i % 10, i % 6 - 1 FROM generate_series(1, 7200) i;
INSERT INTO person SELECT i, 'P' || lpad(i::text, 15, '0'), 1 + (random() * (50000 * :scale - 1))::int, CASE WHEN i % 30 > 0 THEN 1 + (random() * 7199)::int END, (ARRAY['M','F'])[1 + i % 2], (ARRAY['M','S','D','W','U'])[1 + i % 5], (ARRAY['Primary','Secondary','College','2 yr Degree','4 yr Degree','Advanced Degree','Unknown'])[1 + i % 7], 'First' || i % 3000, 'Last' || (power(random(), 2) * 5000)::int, 1930 + (random() * 65)::int, 'COUNTRY ' || (power(random(), 2) * 200)::int, (ARRAY['Y','N',NULL])[1 + i % 3] FROM generate_series(1, 100000 * :scale) i;
INSERT INTO promo SELECT i, 'promo ' || i % 10, (ARRAY['N','N','N','Y'])[1 + i % 4], (ARRAY['N','Y'])[1 + i % 2], 1 + (random() * (18000 * :scale - 1))::int FROM generate_series(1, 300) i;
INSERT INTO outlet SELECT i, 'outlet ' || i % 23, (ARRAY['s','c','w'])[1 + i % 3], (ARRAY['TN','TX','GA','SD','OH','CA'])[1 + i % 6], 'County' || i % 29, -5 - i % 3, 200 + (random() * 100)::int FROM generate_series(1, 120) i;
INSERT INTO depot SELECT i, 'depot ' || i, (ARRAY['TN','TX','GA'])[1 + i % 3], 50000 + i * 1000 FROM generate_series(1, 10) i;
INSERT INTO stock SELECT d * 7, 1 + (i * 37 + d) % (18000 * :scale), 1 + (i + d) % 10, CASE WHEN random() < 0.95 THEN (random() * 1000)::int END FROM generate_series(0, 260) d, generate_series(1, 1500 * :scale) i;
-- The three channels have the same columns with their own prefix and their own size.
CREATE PROCEDURE make_channel(p text, rows int, since int) LANGUAGE plpgsql AS $$
BEGIN
EXECUTE format('CREATE TABLE %1$s_sales (%1$s_day_id int, %1$s_hour_id int, %1$s_item_id int NOT NULL, %1$s_person_id int, %1$s_address_id int, %1$s_household_id int, %1$s_outlet_id int, %1$s_promo_id int, %1$s_depot_id int, %1$s_ticket bigint NOT NULL, %1$s_quantity int, %1$s_wholesale numeric(7,2), %1$s_list numeric(7,2), %1$s_price numeric(7,2), %1$s_coupon numeric(7,2), %1$s_tax numeric(7,2), %1$s_paid numeric(7,2), %1$s_profit numeric(7,2), %1$s_ship_day_id int)', p);
EXECUTE format('INSERT INTO %1$s_sales SELECT CASE WHEN random() > 0.02 THEN d END, CASE WHEN random() > 0.02 THEN 480 + (random() * 700)::int END, 1 + (power(random(), 2.2) * %2$s)::int, CASE WHEN random() > 0.03 THEN who END, CASE WHEN random() > 0.03 THEN 1 + who / 2 END, CASE WHEN random() > 0.03 THEN 1 + who %% 7200 END, CASE WHEN random() > 0.03 THEN 1 + t %% 120 END, CASE WHEN random() > 0.3 THEN 1 + (power(random(), 3) * 299)::int END, 1 + (random() * 9)::int, t, 1 + (random() * 99)::int, (random() * 100)::numeric(7,2), (random() * 200)::numeric(7,2), (power(random(), 2) * 200)::numeric(7,2), CASE WHEN random() < 0.2 THEN (random() * 500)::numeric(7,2) ELSE 0 END, (random() * 9)::numeric(7,2), (power(random(), 2) * 9000)::numeric(7,2), (random() * 9000 - 4500)::numeric(7,2), d + 2 + (random() * 118)::int FROM (SELECT t, %4$s + ((t * 1.0 / (%3$s / 8)) * (3280 - %4$s))::int - (random() * 60)::int AS d, 1 + (power(random(), 1.5) * %5$s)::int AS who FROM generate_series(1, %3$s / 8) t) x, generate_series(1, 8) l', p, (SELECT max(item_id) - 1 FROM item), rows, since, (SELECT max(person_id) - 1 FROM person));
EXECUTE format('CREATE TABLE %1$s_returns (%1$sr_day_id int, %1$sr_item_id int NOT NULL, %1$sr_person_id int, %1$sr_ticket bigint NOT NULL, %1$sr_outlet_id int, %1$sr_reason int, %1$sr_quantity int, %1$sr_amount numeric(7,2), %1$sr_loss numeric(7,2))', p);
EXECUTE format('INSERT INTO %1$s_returns SELECT %1$s_day_id + 10 + (random() * 60)::int, %1$s_item_id, %1$s_person_id, %1$s_ticket, %1$s_outlet_id, (power(random(), 2) * 35)::int, 1 + (random() * 30)::int, (random() * 3000)::numeric(7,2), (random() * 800)::numeric(7,2) FROM %1$s_sales WHERE random() < 0.1', p);
END $$;
CALL make_channel('s', 320000 * :scale, 60);
CALL make_channel('c', 160000 * :scale, 400);
CALL make_channel('w', 80000 * :scale, 800);
DROP PROCEDURE make_channel;
VACUUM ANALYZE;
