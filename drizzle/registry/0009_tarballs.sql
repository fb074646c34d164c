CREATE TABLE `hosted_tarball` (
	`integrity` text PRIMARY KEY NOT NULL,
	`bytes` blob NOT NULL
);
