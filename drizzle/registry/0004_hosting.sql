CREATE TABLE `policy_rule` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`view` text,
	`place` integer NOT NULL,
	`match` text NOT NULL,
	`action` text NOT NULL,
	`min_age` text,
	`require_signature` integer NOT NULL,
	`require_provenance` integer NOT NULL,
	`reason` text,
	`until` text,
	`created` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `policy_rule_view` ON `policy_rule` (`view`,`place`);--> statement-breakpoint
CREATE TABLE `resolution` (
	`incident` text PRIMARY KEY NOT NULL,
	`actor` text NOT NULL,
	`reason` text NOT NULL,
	`created` text NOT NULL,
	`count` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `version_provenance` (
	`namespace` text NOT NULL,
	`name` text NOT NULL,
	`version` text NOT NULL,
	`predicate` text NOT NULL,
	PRIMARY KEY(`namespace`, `name`, `version`)
);
--> statement-breakpoint
CREATE TABLE `content` (
	`sha256` text PRIMARY KEY NOT NULL,
	`integrity` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `view` (
	`name` text PRIMARY KEY NOT NULL,
	`registries` text,
	`keys` text,
	`mirrors` text NOT NULL,
	`created` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `tarball_check` (
	`namespace` text NOT NULL,
	`name` text NOT NULL,
	`version` text NOT NULL,
	`place` text NOT NULL,
	`bytes` text NOT NULL,
	`manifest` text NOT NULL,
	`detail` text NOT NULL,
	`incident` text,
	`checked` text NOT NULL,
	PRIMARY KEY(`namespace`, `name`, `version`, `place`)
);
--> statement-breakpoint
CREATE TABLE `tarball_place` (
	`upstream` text NOT NULL,
	`name` text NOT NULL,
	`version` text NOT NULL,
	`url` text NOT NULL,
	`seen` text NOT NULL,
	PRIMARY KEY(`upstream`, `name`, `version`)
);
--> statement-breakpoint
CREATE TABLE `org` (
	`name` text PRIMARY KEY NOT NULL,
	`created` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `org_member` (
	`org` text NOT NULL,
	`user` text NOT NULL,
	`role` text NOT NULL,
	PRIMARY KEY(`org`, `user`)
);
--> statement-breakpoint
CREATE INDEX `org_member_user` ON `org_member` (`user`);--> statement-breakpoint
CREATE TABLE `team` (
	`org` text NOT NULL,
	`name` text NOT NULL,
	`description` text NOT NULL,
	`created` text NOT NULL,
	PRIMARY KEY(`org`, `name`)
);
--> statement-breakpoint
CREATE TABLE `team_member` (
	`org` text NOT NULL,
	`team` text NOT NULL,
	`user` text NOT NULL,
	PRIMARY KEY(`org`, `team`, `user`)
);
--> statement-breakpoint
CREATE INDEX `team_member_user` ON `team_member` (`user`);--> statement-breakpoint
CREATE TABLE `team_package` (
	`org` text NOT NULL,
	`team` text NOT NULL,
	`package` text NOT NULL,
	`permission` text NOT NULL,
	PRIMARY KEY(`org`, `team`, `package`)
);
--> statement-breakpoint
CREATE INDEX `team_package_package` ON `team_package` (`package`);--> statement-breakpoint
CREATE TABLE `token` (
	`id` text PRIMARY KEY NOT NULL,
	`hash` text NOT NULL,
	`user` text,
	`kind` text NOT NULL,
	`name` text NOT NULL,
	`scopes` text NOT NULL,
	`packages` text NOT NULL,
	`orgs` text,
	`read_only` integer NOT NULL,
	`cidrs` text NOT NULL,
	`view` text,
	`created` text NOT NULL,
	`expires` text,
	`last_used` text,
	`revoked` text
);
--> statement-breakpoint
CREATE UNIQUE INDEX `token_hash` ON `token` (`hash`);--> statement-breakpoint
CREATE INDEX `token_user` ON `token` (`user`);--> statement-breakpoint
CREATE TABLE `user` (
	`name` text PRIMARY KEY NOT NULL,
	`email` text,
	`password` text,
	`role` text NOT NULL,
	`state` text NOT NULL,
	`created` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `idempotency` (
	`id` text PRIMARY KEY NOT NULL,
	`body` text NOT NULL,
	`status` integer NOT NULL,
	`location` text,
	`etag` text,
	`answer` text,
	`created` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `idempotency_created` ON `idempotency` (`created`);--> statement-breakpoint
CREATE TABLE `hosted_maintainer` (
	`name` text NOT NULL,
	`user` text NOT NULL,
	PRIMARY KEY(`name`, `user`)
);
--> statement-breakpoint
CREATE INDEX `hosted_maintainer_user` ON `hosted_maintainer` (`user`);--> statement-breakpoint
CREATE TABLE `hosted_package` (
	`name` text PRIMARY KEY NOT NULL,
	`access` text NOT NULL,
	`rev` text NOT NULL,
	`created` text NOT NULL,
	`modified` text NOT NULL,
	`description` text,
	`readme` text,
	`unpublished` text
);
--> statement-breakpoint
CREATE TABLE `hosted_tag` (
	`name` text NOT NULL,
	`tag` text NOT NULL,
	`version` text NOT NULL,
	PRIMARY KEY(`name`, `tag`)
);
--> statement-breakpoint
CREATE TABLE `hosted_version` (
	`name` text NOT NULL,
	`version` text NOT NULL,
	`manifest` text NOT NULL,
	`integrity` text NOT NULL,
	`shasum` text NOT NULL,
	`file` text NOT NULL,
	`file_count` integer NOT NULL,
	`unpacked_size` integer NOT NULL,
	`published` text NOT NULL,
	`publisher` text NOT NULL,
	`keyid` text NOT NULL,
	`sig` text NOT NULL,
	`deprecated` text,
	`predicate_type` text,
	`provenance` text,
	`unpublished` text,
	PRIMARY KEY(`name`, `version`)
);
--> statement-breakpoint
CREATE INDEX `hosted_version_file` ON `hosted_version` (`name`,`file`);--> statement-breakpoint
CREATE INDEX `hosted_version_integrity` ON `hosted_version` (`integrity`);--> statement-breakpoint
CREATE TABLE `stage` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`version` text NOT NULL,
	`tag` text NOT NULL,
	`integrity` text NOT NULL,
	`shasum` text NOT NULL,
	`body` text NOT NULL,
	`bytes` integer NOT NULL,
	`actor` text NOT NULL,
	`created` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `stage_name` ON `stage` (`name`);--> statement-breakpoint
CREATE INDEX `stage_body` ON `stage` (`body`);--> statement-breakpoint
CREATE TABLE `oidc_issuer` (
	`issuer` text PRIMARY KEY NOT NULL,
	`type` text NOT NULL,
	`created` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `oidc_use` (
	`id` text PRIMARY KEY NOT NULL,
	`expires` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `oidc_use_expires` ON `oidc_use` (`expires`);--> statement-breakpoint
CREATE TABLE `trusted_publisher` (
	`id` text PRIMARY KEY NOT NULL,
	`package` text NOT NULL,
	`issuer` text NOT NULL,
	`type` text NOT NULL,
	`claims` text NOT NULL,
	`pinned` text,
	`creator` text NOT NULL,
	`created` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `trusted_publisher_package` ON `trusted_publisher` (`package`);--> statement-breakpoint
ALTER TABLE `upstream` ADD `strict_since` text;--> statement-breakpoint
ALTER TABLE `upstream` ADD `tarball_origins` text DEFAULT '[]' NOT NULL;--> statement-breakpoint
CREATE INDEX `version_integrity` ON `version` (`integrity`);