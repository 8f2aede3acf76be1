-- title: learning: progress update
-- weight: 6
-- least_ratio: 7.5
-- most_ms: 30
-- claim: 150 to 20 ms, below 30 ms
\set i random(1, :progress_rows)
\set u 1 + mod(:i * 7919, :users)
\set l 1 + mod(:i * 104729, :courses * 10)
UPDATE learning.progress SET status = 'COMPLETED', score = 100, updated_at = now()
WHERE user_id = 'u:u' AND lesson_id = 'l:l';
