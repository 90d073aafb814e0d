export { type ConformanceCase, type ConformanceOptions, conformanceCases } from './testing/conformance.js'
export { startTestPlanstream, type TestPlanstream } from './testing/test-planstream.js'
