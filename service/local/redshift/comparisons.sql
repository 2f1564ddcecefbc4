-- Trailing blanks do not count where VARCHARs are compared (AWS: Character types). PostgreSQL has this for CHAR: its
-- functions for CHAR take the place of those for text, in the operators and in what sorts and hashes for joins,
-- DISTINCT, GROUP BY and IN. LIKE and LEN look at every blank, in both databases.

UPDATE pg_catalog.pg_operator o SET oprcode = f.code::regproc
FROM (VALUES ('=', 'bpchareq'), ('<>', 'bpcharne'), ('<', 'bpcharlt'), ('<=', 'bpcharle'), ('>', 'bpchargt'),
    ('>=', 'bpcharge')) AS f (name, code)
WHERE o.oprname = f.name AND o.oprleft = 'text'::regtype AND o.oprright = 'text'::regtype;

UPDATE pg_catalog.pg_amproc p SET amproc = f.code::regproc
FROM (VALUES ('bttextcmp', 'bpcharcmp'), ('bttextsortsupport', 'bpchar_sortsupport'), ('hashtext', 'hashbpchar'),
    ('hashtextextended', 'hashbpcharextended'), ('bttext_pattern_cmp', 'btbpchar_pattern_cmp'),
    ('bttext_pattern_sortsupport', 'btbpchar_pattern_sortsupport')) AS f (name, code)
WHERE p.amproc = f.name::regproc AND p.amproclefttype = 'text'::regtype AND p.amprocrighttype = 'text'::regtype;
