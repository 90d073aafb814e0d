import { exactSuite } from '../../suites/exact.suite.js'
import { lateJoinSuite } from '../../suites/late-join.suite.js'

const SCALE = Number(process.env.PLANSTREAM_TEST_SCALE ?? 1)

exactSuite(100 * SCALE)
lateJoinSuite(2000 * SCALE)
