import java.util.List;
import java.util.concurrent.CountDownLatch;

import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;

/**
 * One OpenSearch node, from the libraries of a Maven repository.
 *
 * <p>Its arguments are settings of the node, each as {@code name=value}. The node ends with its
 * process. The modules that a distribution would load are listed here, as far as they are needed.
 */
final class Server extends Node {
    private static final List<Class<? extends Plugin>> MODULES = List.of(
            org.opensearch.analysis.common.CommonAnalysisPlugin.class,
            org.opensearch.index.mapper.MapperExtrasPlugin.class,
            org.opensearch.index.reindex.ReindexPlugin.class,
            org.opensearch.painless.PainlessPlugin.class,
            org.opensearch.transport.Netty4Plugin.class);

    private Server(Settings settings) {
        super(new Environment(settings, null), MODULES, true);
    }

    public static void main(String[] arguments) throws Exception {
        Settings.Builder settings = Settings.builder();
        for (String argument : arguments) {
            String[] setting = argument.split("=", 2);
            settings.put(setting[0], setting[1]);
        }
        Server server = new Server(settings.build());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                server.close();
            } catch (Exception exception) {
                exception.printStackTrace();
            }
        }));
        server.start();
        new CountDownLatch(1).await();
    }
}
