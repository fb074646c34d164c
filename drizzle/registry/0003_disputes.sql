CREATE TABLE `dispute` (
	`namespace` text NOT NULL,
	`name` text NOT NULL,
	`version` text NOT NULL,
	`detail` text NOT NULL,
	`incident` text NOT NULL,
	`created` text NOT NULL,
	PRIMARY KEY(`namespace`, `name`, `version`)
);
