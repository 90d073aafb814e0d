import tseslint from 'typescript-eslint'

/** Only what needs the types, or what Biome leaves open; everything else is Biome's. */
export default tseslint.config(
	{ ignores: ['**/dist/', 'release/'] },
	{
		files: ['**/*.ts', '**/*.tsx'],
		extends: [tseslint.configs.base],
		languageOptions: {
			parserOptions: {
				project: ['*/tsconfig.json', 'tsconfig.tools.json', 'tsconfig.test.json'],
				tsconfigRootDir: import.meta.dirname,
			},
		},
		rules: {
			'@typescript-eslint/await-thenable': 'error',
			'@typescript-eslint/ban-ts-comment': 'error',
			'@typescript-eslint/no-explicit-any': 'error',
			'@typescript-eslint/no-floating-promises': 'error',
			'@typescript-eslint/no-misused-promises': 'error',
			'@typescript-eslint/no-unnecessary-type-assertion': 'error',
			'@typescript-eslint/only-throw-error': 'error',
			'@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
			'@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
		},
	},
)
