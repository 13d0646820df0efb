-- A database and its owner for Prefect, and for what people decide: psql -U postgres -f databases.sql
CREATE ROLE prefect LOGIN PASSWORD 'CHANGE-ME';
CREATE DATABASE prefect OWNER prefect;
CREATE ROLE review LOGIN PASSWORD 'CHANGE-ME';
CREATE DATABASE review OWNER review;
-- Prefect searches names with it.
\connect prefect
CREATE EXTENSION IF NOT EXISTS pg_trgm;
