import { exactSuite } from '../suites/exact.suite.js'

exactSuite(25)
