/** What is loaded when the code runs: type-only imports are gone here. Browsers must not be sent zod. */
module.exports = {
	forbidden: [
		{
			name: 'light-without-zod',
			comment: 'The light entry of shared and the whole client take types from the schemas, never values.',
			severity: 'error',
			from: { path: ['^shared/src/index[.]ts$', '^client/src/'], pathNot: '[.]test[.]tsx?$' },
			to: { path: ['^shared/src/schemas[.]ts$', 'node_modules/zod/'], reachable: true },
		},
	],
	options: {
		doNotFollow: { path: 'node_modules' },
		exclude: { path: '(^|/)dist/' },
		tsConfig: { fileName: 'tsconfig.base.json' },
		tsPreCompilationDeps: false,
	},
}
