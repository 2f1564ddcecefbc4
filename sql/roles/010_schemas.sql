-- The schemas that rights are given on. The first two are made by `acequia migrate` too, whichever comes first.

CREATE SCHEMA IF NOT EXISTS acequia;

CREATE SCHEMA IF NOT EXISTS lake;

-- The analysts' own.
CREATE SCHEMA IF NOT EXISTS sandbox;
