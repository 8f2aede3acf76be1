-- title: learning: user login
-- weight: 12
-- least_ratio: 8
-- most_ms: 50
-- claim: 200 to 25 ms, below 50 ms
\set u random(1, :users)
SELECT id, name, role FROM learning.users WHERE email = 'user:u@example.com' AND is_active;
